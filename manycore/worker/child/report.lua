-- Writes how far a run of a chunk is, unless another run has taken the chunk over.
--
-- Each run wrote its field as it began. If there is none, the run that took the chunk over has come to its end
-- (`finish.lua`), or the server has forgotten: then what others may have begun is unknown.
--
-- KEYS[1]  mc:<batch>:resume  see begin.lua
-- ARGV     chunk id, run, its field, TTL in seconds
-- Returns  the other run, `somebody` if it is unknown; nothing if there is none.

local known = redis.call('hget', KEYS[1], ARGV[1])
local other = string.match(known or '', '^%d+,%d+,%d+,%d+,%d+,([^,]+),')
if other and other ~= ARGV[2] then return other end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
redis.call('expire', KEYS[1], ARGV[4])
return known and '' or 'somebody'
