-- Hands a call to a slot that waits for it, having just ended another one of its function; if none does, puts the call
-- into its queue and rings the bell.
--
-- The slot's delivery is that of the new call from here on: whoever dies, it comes again as any delivery does. The call
-- that it was of before comes no more, so nothing is kept of that. The run of the new one begins with this step, so the
-- slot asks for nothing. Where it would have something to learn, a call is put into the queue: that its batch is
-- cancelled, that it or its function has killed, or that this call was sent before.
--
-- KEYS[1]  mc:<batch>:stay:<program>  hash: of each slot that waits its delivery (tag) -> the chunk that this is of, and
--          since when (epoch seconds). None waits so long that it is passed by: its whole worker is frozen, or cut off
-- KEYS[2]  manycore-unacked           hash: delivery tag -> [message, exchange, routing key], as kombu keeps it
-- KEYS[3]  mc:<batch>:resume          see worker/child/begin.lua
-- KEYS[4]  mc:<batch>:strikes         see worker/strike.lua
-- KEYS[5]  mc:batch:<batch>           hash: its flag `cancelled`
-- KEYS[6]  mc:bell:<queue>            see ring.lua
-- ARGV     the message, its queue, the same as JSON, chunk id, its field as a run begins, that run, how the names of the
--          lists begin in which slots are handed something, TTL of both in seconds, TTL of a bell, and the subjects of
--          strikes that concern it: itself, and what is of each call of the function
-- Returns  1 if a slot has it, 0 if its queue has.

local LONGEST = 3
local found = redis.call('hgetall', KEYS[1])
if #found > 0 and redis.call('hexists', KEYS[3], ARGV[4]) == 0 and not redis.call('hget', KEYS[5], 'cancelled')
    and not redis.call('hget', KEYS[4], ARGV[10]) and not redis.call('hget', KEYS[4], ARGV[11])
    and not redis.call('hget', KEYS[4], ARGV[12]) then
  local now = tonumber(redis.call('time')[1])
  for i = 1, #found, 2 do
    local tag, ended, since = found[i], string.match(found[i + 1], '^(%S+) (%d+)$')
    if since and now - since <= LONGEST and redis.pcall('hexists', KEYS[2], tag) == 1 then
      local kept = redis.pcall('hset', KEYS[2], tag, '[' .. ARGV[1] .. ',"",' .. ARGV[3] .. ']')
      if type(kept) == 'table' then return kept end -- the server is full
      redis.call('hdel', KEYS[1], tag)
      redis.call('hdel', KEYS[3], ended)
      redis.call('hset', KEYS[3], ARGV[4], ARGV[5])
      redis.call('expire', KEYS[3], ARGV[8])
      redis.call('rpush', ARGV[7] .. tag, ARGV[6] .. ' ' .. ARGV[1])
      redis.call('expire', ARGV[7] .. tag, ARGV[8])
      return 1
    end
    redis.call('hdel', KEYS[1], tag) -- or its process is gone, or has lost its lease
  end
end
local rung = redis.pcall('zadd', KEYS[6], 0, '')
if type(rung) == 'table' then return rung end -- the server is full, or that is no bell
redis.call('expire', KEYS[6], ARGV[9])
redis.call('lpush', ARGV[2], ARGV[1]) -- no key of this script: who sends may do no more with a queue
return 0
