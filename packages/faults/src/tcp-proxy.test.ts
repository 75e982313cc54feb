import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { isClientOf } from "./socket-owner.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const closing: (() => unknown)[] = [];

/** Another process: connects and says 1; what it is told to say next goes the same way, 3 over a new connection. */
const talk = `
  const connect = (word) => {
    const socket = require("node:net").connect(Number(process.argv[1]), "127.0.0.1");
    socket.on("data", (data) => process.stdout.write(data)).write(word);
    return socket;
  };
  const first = connect("1");
  process.stdin.on("data", (text) => {
    if (String(text).includes("2")) first.write("2");
    if (String(text).includes("connect")) connect("3");
  });
`;

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A client whose every word comes back, through a proxy. */
async function echoThrough() {
  const server = createServer((socket) => socket.pipe(socket).on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  const proxy = await TcpProxy.listen(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  closing.push(() => proxy.close());
  return { proxy, client: await clientOf(proxy) };
}

async function clientOf(proxy: TcpProxy): Promise<Socket> {
  const client = connect(Number(proxy.address.split(":")[1]), "127.0.0.1");
  closing.push(() => client.destroy());
  client.on("error", () => undefined);
  await once(client, "connect");
  return client;
}

/** The next bytes that arrive; several chunks may come at once. What comes between two reads is lost. */
function read(client: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let got = 0;
  return new Promise((resolve) => {
    const take = (part: Buffer) => {
      parts.push(part);
      got += part.length;
      if (got < bytes) return;
      client.off("data", take);
      resolve(Buffer.concat(parts));
    };
    client.on("data", take);
  });
}

describe("TcpProxy", () => {
  it("brings everything through, in order, more than it holds at once", async () => {
    const { client } = await echoThrough();
    const sent = Buffer.from(Uint32Array.from({ length: 1_000_000 }, (_, i) => i).buffer);
    client.write(sent);
    expect((await read(client, sent.length)).equals(sent)).toBe(true);
  });

  it("delays each direction", async () => {
    const { proxy, client } = await echoThrough();
    proxy.delayMs = 50;
    const startMs = performance.now();
    client.write("hello");
    expect((await read(client, 5)).toString()).toBe("hello");
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(99);
  });

  it("keeps the order when chunks are lost and sent again", async () => {
    const { proxy, client } = await echoThrough();
    proxy.loss = 0.5;
    const text = "0123456789";
    for (const letter of text) {
      client.write(letter);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect((await read(client, text.length)).toString()).toBe(text);
  });

  it("lets nothing through while it is partitioned, and everything afterwards", async () => {
    const { proxy, client } = await echoThrough();
    client.write("a");
    await read(client, 1);
    proxy.partition();
    let heard = "";
    client.on("data", (data: Buffer) => {
      heard += data.toString();
    });
    client.write("b");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([heard, client.destroyed]).toEqual(["", false]);
    proxy.heal();
    await expect.poll(() => heard).toBe("b");
  });

  it("can be partitioned for the connections of some processes, those made meanwhile among them", async () => {
    const { proxy, client } = await echoThrough();
    const other = spawn(process.execPath, ["-e", talk, proxy.address.split(":")[1] ?? ""]);
    closing.push(() => other.kill("SIGKILL"));
    let heard = "";
    other.stdout.on("data", (data: Buffer) => {
      heard += data.toString();
    });
    await expect.poll(() => heard).toBe("1");
    proxy.partition((port) => isClientOf([other.pid ?? -1], port));
    other.stdin.write("2");
    other.stdin.write("connect");
    client.write("a");
    expect((await read(client, 1)).toString()).toBe("a");
    const again = await clientOf(proxy);
    again.write("b");
    expect((await read(again, 1)).toString()).toBe("b");
    expect(heard).toBe("1");
    proxy.heal();
    await expect.poll(() => [...heard].sort().join("")).toBe("123");
  });

  it("resets connections, and takes new ones", async () => {
    const { proxy, client } = await echoThrough();
    proxy.reset();
    await once(client, "close");
    const again = await clientOf(proxy);
    again.write("c");
    expect((await read(again, 1)).toString()).toBe("c");
  });
});
