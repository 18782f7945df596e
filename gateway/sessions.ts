/** Sessions: who is signed in, as a signed access token (JWT, HS256). There is nothing to look up, so nothing is stored. */
import { createHmac, createSecretKey } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import { UUID } from '../shared/ids.js';

export const SESSION_COOKIE = 'cheeper_session';

export interface IssuedSession {
  accessToken: string;
  expiresAt: Date;
}

export class Sessions {
  private readonly key;

  constructor(
    private readonly signingKey: string,
    private readonly namespace: string,
    private readonly hours: number,
  ) {
    this.key = createSecretKey(Buffer.from(signingKey));
  }

  async issue(authorId: string): Promise<IssuedSession> {
    const expiresAt = new Date(Math.floor(Date.now() / 1_000 + this.hours * 3_600) * 1_000);
    const accessToken = await new SignJWT()
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(authorId)
      .setIssuer(this.namespace)
      .setIssuedAt()
      .setExpirationTime(expiresAt)
      .sign(this.key);

    return { accessToken, expiresAt };
  }

  /** Whose token it is; null when it is none of ours, or has run out. */
  async verify(accessToken: string): Promise<string | null> {
    try {
      const { payload } = await jwtVerify(accessToken, this.key, { algorithms: ['HS256'], issuer: this.namespace });

      return payload.sub && UUID.test(payload.sub) ? payload.sub : null;
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  }

  /** A digest of a secret that only we can make: tells the same one again without telling what it is. */
  digest(secret: string): string {
    return createHmac('sha256', this.key).update(`fingerprint/${secret}`).digest('base64url');
  }
}
