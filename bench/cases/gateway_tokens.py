"""Many live tokens in rotation, beside one: what the cache of verified tokens costs."""

from bench.gateway.contest import Contender, contest, offer_each, row
from bench.gateway.site import open_gateways, open_site
from bench.measuring.context import Bench
from bench.measuring.figures import Row, ratio_at_least
from bench.traffic.wrk import rotating

TOKENS, FEWER = 10_000, 2_000
TARGET = ratio_at_least(0.9)


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    count = bench.pick(full=TOKENS, quick=FEWER)
    tokens = [site.token(site.es256) for _ in range(count)]
    # Both from a list that was made before: a request put together while the load
    # runs would be a third dearer for the core that sends than one that is ready.
    one = rotating(bench, "one ES256 token", [site.request(tokens[0])])
    many = rotating(bench, f"{count} tokens", map(site.request, tokens))
    gateways = await bench.shared(open_gateways)
    ports = {mode: gateway.port for mode, gateway in gateways.items()}
    many_tokens = {f"{mode}, many": Contender(many, ports[mode]) for mode in gateways}
    one_token = {f"{mode}, one": Contender(one, ports[mode]) for mode in gateways}
    for each in many_tokens.values():
        await _verify_all(bench, each, count)
    measured = await contest(bench, many_tokens | one_token)
    return [
        row(
            f"{count:,} live tokens in rotation",
            measured[f"{mode}, many"],
            measured[f"{mode}, one"],
            mode=mode,
            peer="itself with one",
            target=TARGET,
        )
        for mode in gateways
    ]


async def _verify_all(bench: Bench, many: Contender, count: int) -> None:
    """Offer the load until it went round twice.

    Those that are under way when an offer ends may be verified or not: the second time
    round they are others.
    """
    while many.load.sent.get(many.port, 0) < 2 * count:
        await offer_each(bench, {many.load.name: many})
