-- Gives items off the end of a run's chunk to a queue, and writes that they are not the chunk's any more, in one step.
--
-- In two, who takes the chunk over in between would run them too, and neither would count what the other has begun.
--
-- KEYS[1]  mc:<batch>:resume  see begin.lua
-- KEYS[2]  the queue          list
-- KEYS[3..] lists that must all be empty, if something is to be given only while nothing waits
-- ARGV     chunk id, run, its field without them, TTL in seconds, the message
-- Returns  the other run that has the chunk now, or nil if something waits: nothing is given then; '' if it is given.
--          Asked twice, it is given once.

local function run_and_stop(field)
  local stop, run = string.match(field or '', '^%d+,%d+,(%d+),%d+,%d+,([^,]+),')
  return run, tonumber(stop)
end

local run, stop = run_and_stop(redis.call('hget', KEYS[1], ARGV[1]))
if run ~= ARGV[2] then return run or 'somebody' end
local _, rest = run_and_stop(ARGV[3])
if stop <= rest then return '' end
if #KEYS > 2 and redis.call('exists', unpack(KEYS, 3)) > 0 then return false end
redis.call('lpush', KEYS[2], ARGV[5])
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
redis.call('expire', KEYS[1], ARGV[4])
return ''
