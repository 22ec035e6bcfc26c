-- Sends the requests of the file in turn. Each stands behind a line with its length.

require "report"

local requests, next_one = {}, 0

function init(args)
   local file = assert(io.open(args[1], "rb"))
   for length in function() return file:read("*n", 1) end do
      requests[#requests + 1] = file:read(length)
   end
   file:close()
end

function request()
   next_one = next_one % #requests + 1
   return requests[next_one]
end
