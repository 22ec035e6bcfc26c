-- Sends the request of the file with a trace id that no request had before, where the
-- file says so.

require "report"

local before, after
local number = 0

function init(args)
   local file = assert(io.open(args[1], "rb"))
   local bytes = file:read("*a")
   file:close()
   local first, last = assert(bytes:find("{trace id}", 1, true))
   before, after = bytes:sub(1, first - 1), bytes:sub(last + 1)
   -- Each run begins elsewhere, or the second would repeat the ids of the first.
   number = os.time() * 1000000
end

function request()
   number = number + 1
   return before .. string.format("%032x", number) .. after
end
