/**
 * Places that clients share. Nobody takes a place while it holds as many as are free, counted for each address, and among the clients of an
 * address for each of them. So one address alone gets half of all places, two get a third each, and whoever comes next still finds some:
 * with n addresses that take all they can get, each has 1/(n + 1), and as many are free. (Dynamic thresholds: Choudhury and Hahne, "Dynamic
 * Queue Length Thresholds for Shared-Memory Packet Switches", 1998.)
 */
interface Holder {
  held: number;
  /** Of the clients at this address that hold any. */
  clients: Map<unknown, number>;
}

export class Shares {
  private taken = 0;
  private readonly holders = new Map<string, Holder>();

  constructor(private readonly places: number) {}

  get free(): number {
    return this.places - this.taken;
  }

  /**
   * @param address whose share it is (`network` of `ClientAddress`)
   * @param client one of those at the address: a socket, a sender; null where only addresses are told apart
   * @param count all of them, or none
   * @returns what to call when they are free again, any number of times; null when there are no more for this client
   */
  take(address: string, client: unknown = null, count = 1): (() => void) | null {
    const { free } = this;
    const holder = this.holders.get(address) ?? { held: 0, clients: new Map<unknown, number>() };
    if (holder.held + count > free) return null;
    const heldByClient = holder.clients.get(client) ?? 0;
    if (client !== null && heldByClient + count > free - holder.held) return null;
    this.taken += count;
    holder.held += count;
    if (client !== null) holder.clients.set(client, heldByClient + count);
    this.holders.set(address, holder);
    let isHeld = true;

    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.taken -= count;
      holder.held -= count;
      if (client !== null) {
        const left = holder.clients.get(client)! - count;
        if (left > 0) holder.clients.set(client, left);
        else holder.clients.delete(client);
      }
      if (holder.held === 0) this.holders.delete(address);
    };
  }
}
