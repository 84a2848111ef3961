// The Node reference server: node serve.mjs PORT [DATA_DIRECTORY]; in memory without a directory.
import { DurableStreamTestServer } from "@durable-streams/server"

const [port, dataDir] = process.argv.slice(2)
await new DurableStreamTestServer({ port: Number(port), host: "127.0.0.1", dataDir }).start()
