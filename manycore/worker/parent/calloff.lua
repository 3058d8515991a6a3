-- Lets a slot that stays for the next call (`protocol/hand.lua`) leave at once; one that was handed a call, or does not
-- stay, is left alone.
-- KEYS[1]  mc:<batch>:stay:<program>  hash: the slots that wait, see hand.lua
-- KEYS[2]  mc:<batch>:next:<tag>      list: what this one waits for
-- ARGV     delivery tag, TTL in seconds
if redis.call('hdel', KEYS[1], ARGV[1]) == 1 then
  redis.call('rpush', KEYS[2], '')
  redis.call('expire', KEYS[2], ARGV[2])
end
