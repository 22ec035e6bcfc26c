"""What `make run` ends with: where everything is, and something to paste."""

from pathlib import Path

from local_stack.stack_file import StackFile

_SNIPPET = """\
import segment.analytics as analytics

analytics.host = "{gateway_url}"
analytics.write_key = "{write_key}"
analytics.oauth_auth_server = "{issuer_url}"
analytics.oauth_client_id = "{client_id}"
analytics.oauth_key_id = "{kid}"
analytics.oauth_client_key = open("{private_key_path}").read()
analytics.on_error = lambda error, events: print("refused:", error)

analytics.track("user-1", "Order Completed", {{"total": 42}})
analytics.shutdown()
"""


def snippet(stack: StackFile) -> str:
    """A program that sends one event with the official Python SDK."""
    return _SNIPPET.format(
        gateway_url=stack.gateway_url,
        issuer_url=stack.issuer_url,
        write_key=stack.demo.write_key,
        client_id=stack.demo.client_id,
        kid=stack.demo.kid,
        private_key_path=stack.demo.private_key_path,
    )


def screen(stack: StackFile, stack_file: Path, logs: Path) -> str:
    return f"""
tollgate runs. Ctrl-C stops it; the next `make run` goes on with the same state.

  app-registry   {stack.registry_url}    admin API
  token-issuer   {stack.issuer_url}    /token
  gateway        {stack.gateway_url}    /v1/batch and the rest of the tracking API
  its status     {stack.gateway_status_url}    /readyz /metrics
  tracking API   {stack.upstream_url}    a stand-in; /events gives back what it took

  owner's token  {stack.owner_token}
  for scripts    {stack_file}
  logs           {logs}

Send an event, with .local/venv/bin/python (or see the whole story: `make demo`):

{snippet(stack)}"""
