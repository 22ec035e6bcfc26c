-- Sends the requests of the file in turn, each of which stands behind its length.
-- Arguments: how many were sent before, to go on after them; the file.

require "report"

local requests, next_one = {}, 0

function init(args)
   local file = assert(io.open(args[2], "rb"))
   for length in function() return file:read("*n", 1) end do
      requests[#requests + 1] = file:read(length)
   end
   file:close()
   next_one = tonumber(args[1])
end

function request()
   next_one = next_one % #requests + 1
   return requests[next_one]
end
