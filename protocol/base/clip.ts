// Words of others (a scheduler, a file system) cut to a length that a document can carry.

/** At most `bytesMax` UTF-8 bytes of `text`, whole characters only, well-formed. */
export function clip(text: string, bytesMax: number): string {
  const wellFormed = text.slice(0, bytesMax + 1).toWellFormed()
  if (Buffer.byteLength(wellFormed) <= bytesMax) return wellFormed
  let [bytes, end] = [0, 0]
  for (const character of wellFormed) {
    bytes += Buffer.byteLength(character)
    if (bytes > bytesMax) break
    end += character.length
  }
  return wellFormed.slice(0, end)
}
