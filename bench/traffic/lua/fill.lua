-- Sends a request with a hole, which is filled each time with the next line of a second
-- file, over and over; or without one with a trace id that no request had before.
-- Arguments: how many were sent before, to go on after them; the file or files.

require "report"

local HOLE = "{hole}"
local before, after
local fillings, number = {}, 0

local function next_filling()
   number = number % #fillings + 1
   return fillings[number]
end

local function new_trace_id()
   number = number + 1
   return string.format("%032x", number)
end

local filling = next_filling

function init(args)
   local file = assert(io.open(args[2], "rb"))
   local bytes = file:read("*a")
   file:close()
   local first, last = assert(bytes:find(HOLE, 1, true))
   before, after = bytes:sub(1, first - 1), bytes:sub(last + 1)
   number = tonumber(args[1])
   if args[3] then
      for line in io.lines(args[3]) do fillings[#fillings + 1] = line end
   else
      filling = new_trace_id
   end
end

function request()
   return before .. filling() .. after
end
