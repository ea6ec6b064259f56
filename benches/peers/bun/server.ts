// Rooms by Bun, whose HTTP server is uWebSockets: its own publish and subscribe. One process, one thread, as Bun has it.

type Data = { room?: string };

const server = Bun.serve<Data>({
  hostname: "127.0.0.1",
  port: Number(process.env.PORT ?? 8000),
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    const room = /^\/ws\/([^/]+)\/$/.exec(pathname)?.[1];
    if (room === undefined && pathname !== "/echo/") return new Response("not found", { status: 404 });
    if (server.upgrade(request, { data: { room } })) return;
    return new Response("a WebSocket is expected here", { status: 426 });
  },
  websocket: {
    open(socket) {
      if (socket.data.room !== undefined) socket.subscribe(socket.data.room);
    },
    message(socket, text) {
      if (socket.data.room !== undefined) server.publish(socket.data.room, text);
      else socket.send(text);
    },
  },
});

console.log(`http://127.0.0.1:${server.port}/`);
