"""Run the two nginx of a measurement: an upstream that answers like a provider, and the reference that relays to it."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmproxy.wire.eventstream import write_message

MODULES = Path("/usr/lib/nginx/modules")
INPUT_TOKENS, OUTPUT_TOKENS = 120, 42  # what the upstream reports for each plain chat
HELD_USER = "hold"  # a stream for this user sends one token and stays open

_COMMON = """
worker_processes 1; pid %(name)s.pid; error_log %(name)s.log warn;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 1m;
"""

_UPSTREAM = (
    "load_module modules/ndk_http_module.so;\nload_module modules/ngx_http_lua_module.so;\n"
    + _COMMON
    + r"""
  server {
    listen 127.0.0.1:%(port)d; tcp_nodelay on;
    location = /v1/chat/completions { default_type application/json; content_by_lua_block {
      ngx.req.read_body()
      local function chunk(delta, reason)
        return 'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o",'
          .. '"choices":[{"index":0,"delta":' .. delta .. ',"finish_reason":' .. reason .. '}]}\n\n'
      end
      local tail = string.sub(ngx.req.get_body_data() or "", -80)
      if string.find(tail, '"stream": *true') then
        ngx.header["Content-Type"] = "text/event-stream"
        for i = 1, 40 do
          ngx.print(chunk('{"content":" token' .. i .. '"}', 'null'))
          ngx.flush(true)
          if string.find(tail, '"user": *"%(held)s"') then ngx.sleep(600) end
        end
        ngx.print(chunk('{}', '"stop"') .. 'data: [DONE]\n\n')
      else
        ngx.print('{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":['
          .. '{"index":0,"message":{"role":"assistant","content":"'
          .. string.rep("The quick brown fox jumps over it. ", 16) .. '","refusal":null},"logprobs":null,'
          .. '"finish_reason":"stop"}],"usage":{"prompt_tokens":%(input)d,"completion_tokens":%(output)d,'
          .. '"total_tokens":%(total)d,"prompt_tokens_details":{"cached_tokens":0},'
          .. '"completion_tokens_details":{"reasoning_tokens":0}}}')
      end
    } }
    location = /v1/messages { default_type application/json; content_by_lua_block {
      ngx.req.read_body()
      local function frame(event, data)
        return 'event: ' .. event .. '\ndata: {"type":"' .. event .. '"' .. data .. '}\n\n'
      end
      local message = '{"id":"msg_1","type":"message","role":"assistant","model":"gpt-4o","stop_sequence":null,'
      if string.find(ngx.req.get_body_data() or "", '"stream":true') then
        ngx.header["Content-Type"] = "text/event-stream"
        ngx.print(frame('message_start', ',"message":' .. message
          .. '"stop_reason":null,"content":[],"usage":{"input_tokens":0,"output_tokens":0}}')
          .. frame('content_block_start', ',"index":0,"content_block":{"type":"text","text":""}'))
        ngx.flush(true)
        for i = 1, 40 do
          ngx.print(frame('content_block_delta', ',"index":0,"delta":{"type":"text_delta","text":" token' .. i .. '"}'))
          ngx.flush(true)
        end
        ngx.print(frame('content_block_stop', ',"index":0') .. frame('message_delta',
          ',"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":0}')
          .. frame('message_stop', ''))
      else
        ngx.print(message .. '"stop_reason":"end_turn","content":[{"type":"text","text":"'
          .. string.rep("The quick brown fox jumps over it. ", 16) .. '"}],'
          .. '"usage":{"input_tokens":%(input)d,"output_tokens":%(output)d}}')
      end
    } }
    location ~ ^/v1beta/models/ { content_by_lua_block {
      ngx.req.read_body()
      local function answer(text, more)
        return '{"candidates":[{"content":{"parts":[{"text":"' .. text .. '"}],"role":"model"},"index":0' .. more
          .. '"modelVersion":"gpt-4o","responseId":"r1"}'
      end
      if string.find(ngx.var.request_uri, "stream") then
        ngx.header["Content-Type"] = "text/event-stream"
        for i = 1, 40 do
          ngx.print('data: ' .. answer(' token' .. i, '}],') .. '\r\n\r\n')
          ngx.flush(true)
        end
        ngx.print('data: ' .. answer('', ',"finishReason":"STOP"}],') .. '\r\n\r\n')
      else
        ngx.header["Content-Type"] = "application/json"
        ngx.print(answer(string.rep("The quick brown fox jumps over it. ", 16), ',"finishReason":"STOP"}],'
          .. '"usageMetadata":{"promptTokenCount":%(input)d,"candidatesTokenCount":%(output)d,'
          .. '"totalTokenCount":%(total)d},'))
      end
    } }
    location ~ ^/model/ { content_by_lua_block {
      ngx.req.read_body()
      if string.find(ngx.var.uri, "stream") then
        ngx.header["Content-Type"] = "application/vnd.amazon.eventstream"
        for _, message in ipairs({%(messages)s}) do
          ngx.print(ngx.decode_base64(message))
          ngx.flush(true)
        end
      else
        ngx.header["Content-Type"] = "application/json"
        ngx.print('{"output":{"message":{"role":"assistant","content":[{"text":"'
          .. string.rep("The quick brown fox jumps over it. ", 16) .. '"}]}},"stopReason":"end_turn",'
          .. '"usage":{"inputTokens":%(input)d,"outputTokens":%(output)d,"totalTokens":%(total)d},'
          .. '"metrics":{"latencyMs":9}}')
      end
    } }
  }
}
"""
)

_YARDSTICK = (
    _COMMON
    + """
  upstream provider { server 127.0.0.1:%(upstream)d; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:%(port)d; tcp_nodelay on;
    location / { proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_set_header Authorization "Bearer sk-upstream"; proxy_buffering off; }
  }
}
"""
)


def _messages() -> str:
    """Return the messages of a stream of Converse as Lua texts, in base64: as many as the other streams have events."""
    events: list[tuple[str, str]] = [("messageStart", '{"role":"assistant"}')]
    for number in range(1, 41):
        events.append(
            ("contentBlockDelta", f'{{"contentBlockIndex":0,"delta":{{"text":" token{number}"}},"p":"abcdefghij"}}')
        )
    events += [("contentBlockStop", '{"contentBlockIndex":0}'), ("messageStop", '{"stopReason":"end_turn"}')]
    events.append(("metadata", '{"metrics":{"latencyMs":9}}'))
    written = [write_message(name, value.encode()) for name, value in events]
    return ",".join(f'"{base64.b64encode(message).decode()}"' for message in written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The ports of the two on 127.0.0.1, and the process id of the reference."""

    upstream_port: int
    yardstick_port: int
    yardstick_pid: int


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, proxy_core: int, load_core: int) -> Iterator[Servers]:
    """Run both servers, with their files in `folder`; the reference runs on the core of the proxies."""
    (folder / "modules").symlink_to(MODULES)
    tokens = {"input": INPUT_TOKENS, "output": OUTPUT_TOKENS, "total": INPUT_TOKENS + OUTPUT_TOKENS}
    upstream_port, yardstick_port = free_port(), free_port()
    upstream = _UPSTREAM % {
        "name": "upstream",
        "port": upstream_port,
        "held": HELD_USER,
        "messages": _messages(),
        **tokens,
    }
    yardstick = _YARDSTICK % {"name": "yardstick", "port": yardstick_port, "upstream": upstream_port}
    pids: list[int] = []
    try:
        pids.append(_start(folder, "upstream", upstream, load_core))
        pids.append(_start(folder, "yardstick", yardstick, proxy_core))
        yield Servers(upstream_port=upstream_port, yardstick_port=yardstick_port, yardstick_pid=pids[1])
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)


def _start(folder: Path, name: str, config: str, core: int) -> int:
    """Start one nginx in the background and return its process id."""
    path = folder / f"{name}.conf"
    path.write_text(config)
    subprocess.run(["taskset", "-c", str(core), "nginx", "-p", str(folder), "-c", str(path)], check=True)
    pid_file = folder / f"{name}.pid"
    while not (pid_file.exists() and pid_file.read_text().strip()):
        time.sleep(0.01)
    return int(pid_file.read_text())
