// Writes XML, and HTML that is well-formed XML, too. A document is a tree of plain values; only
// `render` makes text of it.
// Invariants: every text and attribute is escaped here and nowhere else; characters that XML does
// not have, and those that steer the direction of a line, are replaced; names come from our own
// code and are checked.

import { printable } from './output.ts'

export interface MarkupElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly Markup[]
}

export type Markup = string | MarkupElement

export function element(
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>>,
  ...children: readonly (Markup | undefined)[]
): MarkupElement {
  const kept: Record<string, string> = {}
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) kept[key] = String(value)
  }
  return { name, attributes: kept, children: children.filter((child) => child !== undefined) }
}

/** With a line for each element that holds elements; elements that hold text stay on one. */
export function render(tree: MarkupElement): string {
  const parts: string[] = []
  write(tree, '', parts)
  return parts.join('')
}

const namePattern = /^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_.-]*)?$/
/** HTML reads `<td/>` as a tag that was never closed; these alone have no end. */
const voidElements: ReadonlySet<string> = new Set(['meta', 'br', 'hr', 'col'])

function write({ name, attributes, children }: MarkupElement, indent: string, to: string[]): void {
  const pairs = Object.entries(attributes).map(([key, value]) =>
    ` ${checked(key)}="${escapeMarkup(value).replaceAll('\n', '&#10;')}"`)
  const open = `${indent}<${checked(name)}${pairs.join('')}`
  if (children.length === 0 && voidElements.has(name)) {
    to.push(`${open}/>\n`)
    return
  }
  to.push(`${open}>`)
  // Between texts white space would be seen; between elements alone it is not.
  const isBlock = children.length > 0 && children.every((child) => typeof child !== 'string')
  if (isBlock) to.push('\n')
  for (const child of children) {
    if (typeof child === 'string') to.push(escapeMarkup(child))
    else if (isBlock) write(child, `${indent}  `, to)
    else to.push(inline(child))
  }
  to.push(`${isBlock ? indent : ''}</${name}>\n`)
}

function inline(tree: MarkupElement): string {
  return render(tree).trimEnd()
}

function checked(name: string): string {
  if (!namePattern.test(name)) throw new Error(`not a name of an element: ${name}`)
  return name
}

export function escapeMarkup(text: string): string {
  return printable(text.toWellFormed()).replaceAll(/[\ufffe\uffff]/g, '?')
    .replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;').replaceAll('\'', '&#39;')
}
