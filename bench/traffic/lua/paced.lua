-- As fill.lua, but each connection rests before it sends again, so that the number of
-- connections says how much is offered. wrk keeps no rate by itself. They rest for as
-- long on average but not all alike, or they would send all at once.

require "fill"

local REST = 200 -- milliseconds; `REST_SECONDS` in wrk.py is the same

function delay()
   return math.random(0, 2 * REST)
end
