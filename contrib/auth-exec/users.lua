#!/usr/bin/lua5.4
-- users.lua FILE - an auth backend for Culver in Lua, as culver-exec(5) has
-- them: gives stored passwords and looks users up.
--
-- It compares no password: Culver does that with what is stored, in a time
-- that tells nothing, and SCRAM works as well.  FILE has a line a user,
-- name:password:uid:gid:home, with a password as `culverctl hash` makes them
-- ({SCHEME} before it).  It is read for each request, so that a change works
-- at once.
local file = arg[1] or error("usage: users.lua FILE")

local function encode(text)
	return (text:gsub("[^%w_./-]", function(c)
		return ("%%%02X"):format(c:byte())
	end))
end

local function decode(text)
	return (text:gsub("%%(%x%x)", function(hex)
		return string.char(tonumber(hex, 16))
	end))
end

-- The fields of the user's line, or nil.
local function find(name)
	local input = assert(io.open(file, "rb"))
	local found
	for line in input:lines() do
		local fields = {}
		for field in (line .. ":"):gmatch("([^:]*):") do
			fields[#fields + 1] = field
		end
		if fields[1] == name and #fields == 5 then
			found = fields
		end
	end
	input:close()
	return found
end

-- The word of the answer, and its fields.
local function answer(word, asked)
	local user = find(asked.user)
	if user == nil then
		return "unknown", {}
	elseif word == "creds" then
		return "ok", {password = user[2]}
	end
	return "ok", {uid = user[3], gid = user[4], home = user[5]}
end

io.stdout:setvbuf("line")	-- an answer must not wait in a buffer
for line in io.lines() do
	local word = line:match("^[^\t]*")
	local asked = {}
	for name, value in line:gmatch("\t([^=\t]*)=([^\t]*)") do
		asked[name] = decode(value)
	end
	if word == "hello" then
		print("hello\tversion=1\tcan=creds,user")
	else
		local worked, status, given = pcall(answer, word, asked)
		if not worked then
			status, given = "temp", {error = status}
		end
		local out = {status, "id=" .. asked.id}
		for name, value in pairs(given) do
			out[#out + 1] = name .. "=" .. encode(value)
		end
		print(table.concat(out, "\t"))
	end
end
