-- As fill.lua, but each connection rests before it sends again, so that the number of
-- connections says how much is offered. wrk keeps no rate by itself.

require "fill"

local REST = 20 -- milliseconds; `REST_SECONDS` in wrk.py is the same

function delay()
   return REST
end
