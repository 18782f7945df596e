/** The floor of a live gateway: a websocket server that does nothing but send the same bytes to all of its sockets when told to. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import { answer, clockMs } from './processes.js';

const http = createServer();
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
const listening = new Promise<number>((resolve) => {
  http.listen(0, '127.0.0.1', () => resolve((http.address() as AddressInfo).port));
});

answer({
  port: () => listening,
  /** Answers when it began to. */
  broadcast: ({ text }: { text: string }) => {
    const begunMs = clockMs();
    for (const socket of sockets.clients) socket.send(text);

    return begunMs;
  },
});
