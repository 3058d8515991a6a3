-- Ends a run of a chunk in one step: its last outcomes are written, nothing of it is left, its message is acknowledged.
--
-- If another run has taken the chunk over, what is known of it is that run's. A delivery whose lease was lost meanwhile
-- is another's, or in its queue: that one must find that nothing is left. Outcomes come first: a full server refuses
-- them, and then all of it.
--
-- KEYS[1]  mc:<batch>:resume       see begin.lua
-- KEYS[2]  mc:<batch>:out          stream
-- KEYS[3]  manycore-unacked        hash: delivery tag -> message
-- KEYS[4]  manycore-unacked-index  zset: delivery tag -> lease
-- KEYS[5]  mc:<batch>:next:<tag>    list: what its slot was handed since, if this is asked twice (`protocol/hand.lua`);
--          empty text, if it is not to stay
-- KEYS     where the slot is to stay for the next call: the hash of those that do, and the lists of its queue. While a
--          message waits there, it does not stay.
-- ARGV     chunk id, run, its field, TTL in seconds, TTL of the stream, delivery tag, TTL of that hash, then outcomes
--          (signed blocks)
-- Returns  the other run, '' if there is none; and what became of the delivery: 1 if it was acknowledged here, 2 if the
--          slot stays with it. It is still this chunk's then, of which nothing is left.

for i = 8, #ARGV do redis.call('xadd', KEYS[2], '*', 'o', ARGV[i]) end
redis.call('expire', KEYS[2], ARGV[5])
local known = redis.call('hget', KEYS[1], ARGV[1]) or ''
local other = string.match(known, '^%d+,%d+,%d+,%d+,%d+,([^,]+),')
if other and other ~= ARGV[2] then return {other, 0} end
local handed = redis.call('lindex', KEYS[5], 0)
if handed and handed ~= '' then return {'', 2} end
if handed then redis.call('del', KEYS[5]) end -- it was called off before
local stays = not handed and #KEYS > 5 and redis.call('exists', unpack(KEYS, 7)) == 0
local held = redis.pcall(stays and 'hexists' or 'hdel', KEYS[3], ARGV[6])
if held == 1 then
  if not stays then
    redis.pcall('zrem', KEYS[4], ARGV[6])
    redis.call('hdel', KEYS[1], ARGV[1])
    return {'', 1}
  end
  redis.call('hset', KEYS[6], ARGV[6], ARGV[1] .. ' ' .. redis.call('time')[1])
  redis.call('expire', KEYS[6], ARGV[7])
end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
redis.call('expire', KEYS[1], ARGV[4])
return {'', stays and held == 1 and 2 or 0}
