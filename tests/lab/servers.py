"""Servers of what people stream today, from the registries: each is started as the lab's proxies are, and stands behind them.

* aimock answers as OpenAI's and Anthropic's APIs do, with as much time between the tokens as it is told.
* The Model Context Protocol's own SDK serves a tool that reports its progress, over both transports.
* graphql-sse serves a subscription.
"""

from typing import Final

from tests.lab.proxies import NODE_MODULES, Proxy

AIMOCK: Final = Proxy(
    name="aimock",
    program="node",
    command=(
        str(NODE_MODULES / "@copilotkit/aimock/dist/cli.js"),
        *("--port", "@port@", "--fixtures", "@dir@/fixtures.json", "--log-level", "warn", "--strict"),
    ),
    files={
        "fixtures.json": """\
{"fixtures": [{"match": {"model": "lab"}, "chunkSize": 4, @pace@, "response": {"content": "@content@"}}]}
"""
    },
    # 60 tokens in 2.4 s, and 13 KB of OpenAI's events
    slots={"pace": '"latency": 40', "content": "".join(f"{number:03} " for number in range(1, 61))},
)

MCP: Final = Proxy(
    name="mcp",
    program="python",  # of .lab/venv, which comes first
    command=("@dir@/server.py",),
    files={
        "server.py": """\
import anyio
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("lab")


@server.tool()
async def count(to: int, every: float, ctx: Context, pause: float = 0.0) -> str:
    for number in range(1, to + 1):
        await ctx.report_progress(number, to, f"step {number}")
        await anyio.sleep(every)
    await anyio.sleep(pause)
    return "counted"


server.run("@transport@", host="127.0.0.1", port=@port@)
"""
    },
    slots={"transport": "streamable-http"},
)

GRAPHQL: Final = Proxy(
    name="graphql-sse",
    program="node",
    command=("@dir@/server.js",),
    # The recipe "With Node.js's http" of graphql-sse, with a resolver that takes its time
    files={
        "server.js": """\
const http = require("http");
const { GraphQLInt, GraphQLObjectType, GraphQLSchema, GraphQLString } = require("graphql");
const { createHandler } = require("graphql-sse/lib/use/http");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function* countdown(_, { from }) {
  for (let count = from; count > 0; count--) { yield { countdown: count }; await pause(@every@); }
}
const schema = new GraphQLSchema({
  query: new GraphQLObjectType({ name: "Query", fields: { hello: { type: GraphQLString, resolve: () => "world" } } }),
  subscription: new GraphQLObjectType({
    name: "Subscription",
    fields: { countdown: { type: GraphQLInt, args: { from: { type: GraphQLInt } }, subscribe: countdown } },
  }),
});
http.createServer(createHandler({ schema })).listen(@port@, "127.0.0.1");
"""
    },
    slots={"every": "200"},
)

SERVERS: Final = (AIMOCK, MCP, GRAPHQL)
