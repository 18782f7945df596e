/** The way out for mails: an SMTP server, or a folder where each becomes a file. */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import nodemailer from 'nodemailer';
import { makeFolder } from '../../shared/folders.js';

export interface Mail {
  /** Names the file, and the message, so that the same mail is known again. */
  id: string;
  to: { name: string; address: string };
  subject: string;
  text: string;
}

export interface Post {
  /** Settles when the server has taken it over, or the file is there. @throws when that is not certain */
  send(mail: Mail): Promise<void>;
}

export interface PostOptions {
  /** `smtp://` or `smtps://`, with user and password if need be. Absent: mails become files. */
  url: string | undefined;
  /** Made when it is not there; a mail is `ID.eml` in it. */
  folder: string;
  /** `Cheeper <cheeper@example.org>` */
  from: string;
}

/** For each step of a conversation with the mail server. */
const TIMEOUT_MS = 5_000;

export function createPost({ url, folder, from }: PostOptions): Post {
  const message = ({ id, to, subject, text }: Mail) => ({ from, to, subject, text, messageId: `<${id}@cheeper>` });
  if (url) {
    // No pool: nodemailer's sends again what a connection was lost with, which may have arrived.
    const timeouts = { connectionTimeout: TIMEOUT_MS, greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS, dnsTimeout: TIMEOUT_MS };
    const server = nodemailer.createTransport({ url, ...timeouts });

    return {
      send: async (mail) => {
        await server.sendMail(message(mail));
      },
    };
  }
  const files = nodemailer.createTransport({ streamTransport: true, buffer: true, newline: 'windows' });

  return {
    send: async (mail) => {
      const { message: eml } = await files.sendMail(message(mail));
      await makeFolder(folder);
      // Whoever looks into the folder sees whole mails only.
      const file = join(folder, `${mail.id}.eml`);
      await writeFile(`${file}.part`, eml as Buffer);
      await rename(`${file}.part`, file);
    },
  };
}
