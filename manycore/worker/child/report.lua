-- Reports a run of a chunk in one step: its outcomes are written, and how far it is, unless another run has taken the
-- chunk over.
--
-- Each run wrote its field as it began. If there is none, the run that took the chunk over has come to its end
-- (`finish.lua`), or the server has forgotten: then what others may have begun is unknown. Outcomes come first: a full
-- server refuses them, and then all of it.
--
-- KEYS[1]   mc:<batch>:resume  see begin.lua
-- KEYS[2]   mc:<batch>:out     stream
-- KEYS[3]   mc:batch:<batch>   hash: its flag `cancelled`
-- KEYS[4..] the lists of its queue that idle slots take from before anything of this run (`protocol/priority`)
-- ARGV      chunk id, run, its field, TTL in seconds, TTL of the stream, of how many of the lists the run leaves its
--           slot to who waits there, then outcomes (signed blocks)
-- Returns   the other run, `somebody` if it is unknown, '' if there is none; the flag; how many of the lists hold
--           messages; and how many messages those hold that it leaves its slot to.

for i = 7, #ARGV do redis.call('xadd', KEYS[2], '*', 'o', ARGV[i]) end
redis.call('expire', KEYS[2], ARGV[5])
local flag, waiting = redis.call('hget', KEYS[3], 'cancelled'), redis.call('exists', unpack(KEYS, 4))
local others = 0
for i = 4, 3 + ARGV[6] do others = others + redis.call('llen', KEYS[i]) end
local known = redis.call('hget', KEYS[1], ARGV[1])
local other = string.match(known or '', '^%d+,%d+,%d+,%d+,%d+,([^,]+),')
if other and other ~= ARGV[2] then return {other, flag, waiting, others} end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
redis.call('expire', KEYS[1], ARGV[4])
return {known and '' or 'somebody', flag, waiting, others}
