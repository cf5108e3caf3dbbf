// Markup: everything that came from elsewhere is escaped, and documents are well-formed.

import { assert, suite } from '../harness.ts'
import { element, escapeMarkup, render } from '../../cli/markup.ts'

const t = suite('markup')

t('texts and attributes are escaped', () => {
  assert.equal(escapeMarkup('<a b="c">&\'</a>'), '&lt;a b=&quot;c&quot;&gt;&amp;&#39;&lt;/a&gt;')
  assert.equal(render(element('p', { title: '"><script>' }, '<b>')),
    '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;</p>\n')
})

t('what XML does not have, and what turns a line around, is replaced', () => {
  assert.equal(escapeMarkup('a\u0000b\u202ec\ud800d\uffff'), 'a?b?c\ufffdd?')
})

t('elements are indented, texts are not; absent attributes and children are left out', () => {
  const tree = element('a', { one: 1, two: undefined },
    element('b', {}, 'text'), undefined, element('c', {}), element('br', {}))
  assert.equal(render(tree), '<a one="1">\n  <b>text</b>\n  <c></c>\n  <br/>\n</a>\n')
  assert.equal(render(element('p', {}, 'one ', element('b', {}, 'two'), ' three')),
    '<p>one <b>two</b> three</p>\n')
})

t('a name that is none is a mistake of the caller', () => {
  for (const name of ['', 'a b', '1a', 'a>', 'a:b:c']) {
    assert.throws(() => render(element(name, {})), /not a name of an element/)
  }
  assert.throws(() => render(element('a', { 'on click': 1 })), /not a name/)
})
