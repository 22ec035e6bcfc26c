-- Sends the one request that the file holds, over and over.

require "report"

function init(args)
   local file = assert(io.open(args[1], "rb"))
   local bytes = file:read("*a")
   file:close()
   wrk.format = function() return bytes end
end
