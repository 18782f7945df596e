/**
 * A process that holds connections on which nothing comes, for a test whose own may not have so many files open. It keeps as many as it is
 * told, from so many addresses of this machine: one that is closed is opened again. `node holder.mjs PORT CONNECTIONS FIRST ADDRESSES`
 */
import { connect } from 'node:net';
import { setPriority } from 'node:os';

const [port = 0, connections = 0, first = 0, addresses = 1] = process.argv.slice(2).map(Number);
/** Sooner, it would be an attack of another kind: by opening connections. */
const AGAIN_MS = 10_000;
// As all who attack, it sits at a machine of its own.
setPriority(19);
let open = 0;
let opened = 0;
let closed = 0;

function hold(/** @type {number} */ number) {
  const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${first + (number % addresses)}` });
  let isOpen = false;
  socket.on('connect', () => {
    isOpen = true;
    open++;
    opened++;
  });
  socket.on('error', () => undefined); // Its close tells.
  socket.on('close', () => {
    if (isOpen) {
      open--;
      closed++;
    }
    setTimeout(() => hold(number), AGAIN_MS * (0.5 + Math.random()));
  });
}

for (let number = 0; number < connections; number++) {
  hold(number);
  if (number % 500 === 499) await new Promise((resolve) => setTimeout(resolve, 50));
}
setInterval(() => process.send?.({ open, opened, closed }), 100);
