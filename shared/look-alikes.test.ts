import { describe, expect, it } from '@jest/globals';
import { isOfficialName, isReservedUsername, skeleton } from './look-alikes.js';

describe('a username that nobody may have', () => {
  it.each(
    (
      'admin ADMIN Admin adm1n ADM1N admln AdmIn _admin_ a_d_m_i_n 4dmin adrnin root r00t R0OT ro0t cheeper Cheeper CHEEPER ch33per cheep3r ' +
      'support supp0rt SUPPORT 5upport moderator m0derat0r rnoderator system sy5tem null nu11 nuII NULL administrator webmaster postmaster'
    ).split(' '),
  )('is %s', (username) => expect(isReservedUsername(username)).toBe(true));

  it.each('alice bob admin2 administer badminton rooter cheeperfan the_admin_of_it supporter Nulla alice_ melanie miranda'.split(' '))(
    'is not %s',
    (username) => expect(isReservedUsername(username)).toBe(false),
  );
});

describe('a display name that looks official', () => {
  it.each([
    'admin',
    'Admin',
    'АDМIN', // Cyrillic А and М
    'аdmin',
    'ａｄｍｉｎ',
    '𝐀𝐝𝐦𝐢𝐧',
    'Ádmin',
    'a d m i n',
    '★ Admin ★',
    'Cheeper',
    'Сheeрer', // Cyrillic С and р
    'Cheeper Support',
    'Μoderator', // Greek Μ
    'r00t',
    'Ѕystem',
  ])('is %s', (name) => expect(isOfficialName(name)).toBe(true));

  it.each(['Alice', 'Анна', 'Adminna', '管理', 'Ben Rooter', 'Null', 'Me', '🙂', ''])('is not %s', (name) =>
    expect(isOfficialName(name)).toBe(false),
  );
});

describe('a skeleton', () => {
  it('is the same for what looks alike, however it is written', () => {
    expect(new Set(['paypal', 'раураl', 'PAYPAL', 'ＰayＰal'].map(skeleton)).size).toBe(1);
    expect(skeleton('alice')).not.toBe(skeleton('allce2'));
  });
});
