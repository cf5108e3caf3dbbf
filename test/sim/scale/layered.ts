// A map over another one that many share: what a site has of its own lies on top, and what it has
// removed is hidden. So a thousand sites that know the same thousand members have them once.
// Invariant: the shared map never changes.

export class Layered<V> extends Map<string, V> {
  readonly shared: ReadonlyMap<string, V>
  readonly hidden = new Set<string>()

  constructor(shared: ReadonlyMap<string, V>, hidden: Iterable<string> = []) {
    super()
    this.shared = shared
    for (const key of hidden) if (shared.has(key)) this.hidden.add(key)
  }

  override get size(): number {
    let own = 0
    for (const key of super.keys()) if (!this.shared.has(key)) own++
    return this.shared.size - this.hidden.size + own
  }

  override has(key: string): boolean {
    return super.has(key) || (this.shared.has(key) && !this.hidden.has(key))
  }

  override get(key: string): V | undefined {
    if (super.has(key)) return super.get(key)
    return this.hidden.has(key) ? undefined : this.shared.get(key)
  }

  override set(key: string, value: V): this {
    this.hidden.delete(key)
    return super.set(key, value)
  }

  override delete(key: string): boolean {
    const had = this.has(key)
    super.delete(key)
    if (this.shared.has(key)) this.hidden.add(key)
    return had
  }

  override *[Symbol.iterator](): MapIterator<[string, V]> {
    for (const row of this.shared) {
      if (!this.hidden.has(row[0]) && !super.has(row[0])) yield row
    }
    yield* super[Symbol.iterator]()
  }

  override entries(): MapIterator<[string, V]> {
    return this[Symbol.iterator]()
  }

  override *keys(): MapIterator<string> {
    for (const [key] of this) yield key
  }

  override *values(): MapIterator<V> {
    for (const [, value] of this) yield value
  }
}
