import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { TcpProxy } from "./tcp-proxy.ts";

const closing: (() => unknown)[] = [];

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

async function read(client: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let got = 0; got < bytes; ) {
    const [part] = (await once(client, "data")) as [Buffer];
    parts.push(part);
    got += part.length;
  }
  return Buffer.concat(parts);
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

  it("resets connections, and takes new ones", async () => {
    const { proxy, client } = await echoThrough();
    proxy.reset();
    await once(client, "close");
    const again = await clientOf(proxy);
    again.write("c");
    expect((await read(again, 1)).toString()).toBe("c");
  });
});
