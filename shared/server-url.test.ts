import { describe, expect, it } from '@jest/globals';
import { changeFirst, takeFiles, withFiles } from './server-url.js';

const FILES = { password: '/a file,with a comma', tlsCa: '/ca.pem' };

describe('names of files in the URL of a server', () => {
  it.each([
    'mysql://me:a,b@h/cheeper',
    'mysql://me:a,b@h/cheeper?ssl={"rejectUnauthorized":true,"verifyIdentity":false}',
    'redis://me:a,b:c,@h:6379/1',
    'rediss://,:,@h',
    'nats://me:secret@a:4222,nats://b:4222,c',
    'TLS://a:4222,b',
  ])('are put in and taken out again: %s', (url) => {
    const taken = takeFiles(withFiles(url, FILES));
    expect(taken.files).toEqual(FILES);
    expect(decodeURIComponent(taken.url)).toBe(url.replace('TLS', 'tls'));
  });

  it('are those of the first of several of NATS', () => {
    const [first, ...others] = withFiles('nats://a:4222,nats://b:4222,c', { tlsCa: '/ca.pem' }).split(',');
    expect(takeFiles(first!).files).toEqual({ tlsCa: '/ca.pem' });
    expect(others).toEqual(['nats://b:4222', 'c']);
  });

  it('leave a URL as it is where there are none', () => {
    const url = 'mysql://me:a,b@h/cheeper?ssl={"a":1,"b":2}';
    expect(withFiles(url, {})).toBe(url);
    expect(takeFiles(url)).toEqual({ url, files: {} });
  });

  it('do not change what is in the query beside them', () => {
    const ssl = '{"a":1,"b":2}';
    const url = withFiles(`mysql://me:a,b@h/cheeper?ssl=${ssl}`, FILES);
    expect(new URL(takeFiles(url).url).searchParams.get('ssl')).toBe(ssl);
  });
});

describe('a change of the first URL', () => {
  it('takes a comma for an end in those of NATS alone', () => {
    const change = (url: URL) => {
      url.password = 'new';
    };
    expect(changeFirst('mysql://me:a,b@h/cheeper', change)).toBe('mysql://me:new@h/cheeper');
    expect(changeFirst('nats://me:a@h,nats://me:b@i', change)).toBe('nats://me:new@h,nats://me:b@i');
  });
});
