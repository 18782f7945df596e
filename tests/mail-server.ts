/** An SMTP server that takes every mail, and keeps it: as much of RFC 5321 as a client needs to get rid of one. */
import { createServer, type AddressInfo } from 'node:net';

export async function startMailServer() {
  const mails: string[] = [];
  const server = createServer((socket) => {
    let input = '';
    let isData = false;
    const say = (line: string) => socket.write(`${line}\r\n`);
    socket.on('error', () => undefined); // A client that was killed.
    socket.on('data', (bytes) => {
      input += bytes.toString();
      for (;;) {
        const terminator = isData ? '\r\n.\r\n' : '\r\n';
        const end = input.indexOf(terminator);
        if (end === -1) return;
        const text = input.slice(0, end);
        input = input.slice(end + terminator.length);
        if (isData) mails.push(text);
        const isDataNext = !isData && /^DATA/i.test(text);
        if (/^QUIT/i.test(text) && !isData) return void socket.end('221 Bye\r\n');
        isData = isDataNext;
        say(isDataNext ? '354 Go on' : '250 OK');
      }
    });
    say('220 A server for tests');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** As they came, headers and all. */
    mails,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** A header of a mail; empty when it has none such. */
export const headerOf = (mail: string, name: string): string => new RegExp(`^${name}: (.*)$`, 'im').exec(mail)?.[1]?.trim() ?? '';
