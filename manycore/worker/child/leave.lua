-- Takes what a slot was handed while it stayed for the next call (`protocol/hand.lua`); if it was handed nothing, ends
-- its staying, and acknowledges the delivery that it kept.
--
-- It may be asked again. Where what the slot was handed has been given before, and the answer got lost, the delivery
-- itself tells: it does not name the call any more that it was of before.
--
-- A delivery whose lease was lost meanwhile is another's, or in its queue: that one must find that nothing is left.
--
-- KEYS[1]  mc:<batch>:stay:<program>  hash: the slots that wait, see hand.lua
-- KEYS[2]  mc:<batch>:next:<tag>      list: what this one was handed
-- KEYS[3]  manycore-unacked           hash: delivery tag -> message
-- KEYS[4]  manycore-unacked-index     zset: delivery tag -> lease
-- KEYS[5]  mc:<batch>:resume          see begin.lua
-- ARGV     delivery tag, the chunk that it is of, which has ended
-- Returns  what it was handed, or the delivery, as kombu keeps it, of what it was handed before; or nil.

local handed = redis.call('lpop', KEYS[2])
if handed then return handed end
local held = redis.pcall('hget', KEYS[3], ARGV[1])
if type(held) == 'string' and not string.find(held, ARGV[2], 1, true) then return held end
redis.call('hdel', KEYS[1], ARGV[1])
redis.pcall('zrem', KEYS[4], ARGV[1])
if redis.pcall('hdel', KEYS[3], ARGV[1]) == 1 then redis.call('hdel', KEYS[5], ARGV[2]) end
