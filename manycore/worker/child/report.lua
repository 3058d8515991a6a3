-- Writes how far a run of a chunk is, unless another run has taken the chunk over.
--
-- KEYS[1]  mc:<batch>:resume  see begin.lua
-- ARGV     chunk id, run, its field, TTL in seconds
-- Returns  the other run; nothing if it was written.

local known = redis.call('hget', KEYS[1], ARGV[1]) or ''
local other = string.match(known, '^%d+,%d+,%d+,%d+,%d+,([^,]+),')
if other and other ~= ARGV[2] then return other end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
redis.call('expire', KEYS[1], ARGV[4])
return ''
