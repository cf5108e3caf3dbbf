#!/usr/bin/env python3
"""Verifies gridnode ledgers with Python and its `cryptography` package alone (docs/LEDGER.md).

    verify.py log DIR...         exported ledgers: signed head, every tile, every entry
    verify.py vectors FILE...    the cases of test/vectors/ledger

It shares no code with gridnode. It does not replay the accounts. Each fault is a line that names
site, entry and rule. Exit code 0: all holds; 1: something does not; 2: an input is no ledger.
"""
import base64, hashlib, json, os, re, sys, tempfile
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Fault(Exception):
    """What does not hold: an invariant of docs/LEDGER.md and a sentence."""

    def __init__(self, rule, detail):
        super().__init__(f'[{rule}] {detail}')
        self.rule = rule


def need(condition, rule, detail):
    if not condition:
        raise Fault(rule, detail)


# Ed25519: keys are canonical and of prime order, R is not the identity; OpenSSL does the rest.

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(p, q):
    """The sum of two points (x, y, z, t) as in RFC 8032, section 5.1.4."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def sound_key(key):
    """Whether 32 bytes encode, canonically, a point of prime order other than the identity."""
    if len(key) != 32:
        return False
    number = int.from_bytes(key, 'little')
    y, odd = number % 2**255, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and odd) or (x, y) == (0, 1):
        return False
    x = x if x % 2 == odd else P - x
    doubled, total = (x, y, 1, x * y % P), (0, 1, 1, 0)
    for bit in range(L.bit_length()):
        if L >> bit & 1:
            total = add(total, doubled)
        doubled = add(doubled, doubled)
    return total[0] == 0 and total[1] == total[2]


known_keys = {}


def signature_holds(key, message, signature):
    if key not in known_keys:
        known_keys[key] = Ed25519PublicKey.from_public_bytes(key) if sound_key(key) else None
    if known_keys[key] is None or len(signature) != 64 or signature[:32] == b'\1' + bytes(31):
        return False
    try:
        known_keys[key].verify(signature, message)
        return True
    except InvalidSignature:
        return False


# Signed notes (C2SP signed-note) and verifier keys as Go writes them: name+hash+base64(type, key).

def sha(*parts):
    return hashlib.sha256(b''.join(parts)).digest()


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError('not the one encoding')
    return data


def key_id(name, kind, key):
    return sha(name.encode(), b'\n', bytes([kind]), key)[:4]


def open_vkey(text):
    """(name, type, key) of a verifier key."""
    name, ident, rest = text.split('+', 2)
    data = unbase64(rest)
    need(key_id(name, data[0], data[1:]).hex() == ident, 'I1', 'the verifier key has another id')
    return name, data[0], data[1:]


def parse_note(note):
    """(text, [(name, key id, signature)]) of a note's bytes."""
    try:
        whole = note.decode('utf-8')
    except UnicodeDecodeError:
        raise Fault('I11', 'not UTF-8')
    text, empty, rest = whole.rpartition('\n\n')
    need(empty and not re.search(r'[\0-\t\x0b-\x1f]', whole), 'I11', 'no signed note')
    need(rest.endswith('\n'), 'I11', 'the note does not end in a newline')
    lines, signatures = rest[:-1].split('\n'), []
    need(len(lines) <= 16, 'I11', 'more than 16 signatures')
    for line in lines:
        match = re.fullmatch(r'— ([^\s+]+) ([A-Za-z0-9+/=]+)', line)
        try:
            data = unbase64(match[2]) if match else b''
        except ValueError:
            data = b''
        need(len(data) >= 5, 'I11', 'a signature line is not "— <key name> <base64>"')
        signatures.append((match[1], data[:4], data[4:]))
    return text + '\n', signatures


def signed_by(text, signatures, name, key):
    for other, ident, signature in signatures:
        if other == name and ident == key_id(name, 1, key):
            return signature_holds(key, text.encode(), signature)
    return False


def parse_checkpoint(text):
    """(origin, size, root) of a checkpoint's text."""
    match = re.fullmatch(r'([^\s+]{1,255})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n', text)
    try:
        root = unbase64(match[3]) if match else b''
    except ValueError:
        root = b''
    need(root and int(match[2]) < 2**53, 'I1', 'no checkpoint: origin, size and root')
    return match[1], int(match[2]), root


# The Merkle tree of RFC 6962; proofs as in RFC 9162, sections 2.1.3.2 and 2.1.4.2.

def leaf_hash(leaf):
    return sha(b'\0', leaf)


def node_hash(left, right):
    return sha(b'\1', left, right)


def inclusion_holds(leaf, index, size, root, proof):
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def consistency_holds(old, new, old_root, new_root, proof):
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == sha()
    path = ([old_root] if old & (old - 1) == 0 else []) + proof
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    if not path:
        return False
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and older == old_root and newer == new_root


class Tree:
    """The tiles of a growing log: at most one unfinished tile of each level."""

    def __init__(self, full_tile):
        self.levels, self.full_tile = [], full_tile

    def add(self, found, level=0):
        if level == len(self.levels):
            self.levels.append([0, []])
        tile = self.levels[level]
        tile[1].append(found)
        if len(tile[1]) == 256:
            self.full_tile(level, tile[0], tile[1])
            row = tile[1]
            while len(row) > 1:
                row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
            self.levels[level] = [tile[0] + 1, []]
            self.add(row[0], level + 1)

    def root(self):
        peaks = []
        for _, row in self.levels:
            found = []
            while row:
                if len(row) & 1:
                    found.append(row[-1])
                row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
            peaks += found
        if not peaks:
            return sha()
        root = peaks[0]
        for peak in peaks[1:]:
            root = node_hash(peak, root)
        return root


# Statements. Each line: kind (with `about` or `side`), addressee, then its fields beside the place;
# `@name` is a record below, `[type;most]` a list, `=a|b` one of these words, `a..b` an integer.

FIELDS = r'''
@place e:count fed:hash from:site n:count prev:hash? at:ms
@keys log:hash statement:hash witness:hash network:hash
@close site:site issued:tally received:tally
@last site:site n:count
@head origin:t255 size:count root:hash
federation - at:ms name:name founder:site root:hash nonce:nonce
genesis * root:hash keys:@keys previous:hash? closes:[@close;1000]
key * statement:hash witness:hash last:[@last;1000]
policy/admit * about:=admit admit:site root:hash genesis:hash
policy/federation * about:=federation version:count witnesses:[site;31] quorum:0..31 authorities:[site;31]
tariff * task:amount core_hour:amount gib_hour:amount speed_permille:permille factor_permille_max:permille rounding:=down
heads * heads:[@head;64]
digest * day:tally count:tally root:hash
snapshot * size:count state:hash
evidence * accused:site epoch:count proof:=fork_head|fork_leaf|double_number|malformed|overcharge|fell doc:hash
grant * grantee:site name:allocation amount:amount starts:ms until:ms
credit > limit:amount
contract/offer > side:=offer job:hash auction:auction bid:hash tariff:hash factor_permille:permille cores:count memory_mib:count walltime_s:count lease_s:count accept_s:count tasks_max:count interim_s:count exposure_permille:1..1000 auto_permille:0..1000 arbiter:site?
contract/agree > side:=agree contract:hash
hold > contract:hash amount:amount tasks:count valid_until:ms doc:hash grant:hash?
held > hold:hash
declined > hold:hash reason:t256
usage > hold:hash amount:amount final:0..1 tasks:tally core_s:tally gib_s:tally meter:hash
accept > hold:hash usage:hash amount:amount final:0..1
void > hold:hash reason:t256
dispute > hold:hash usage:hash contested:amount reason:t256 doc:hash?
resolve/offer > side:=offer hold:hash amount:amount
resolve/agree > side:=agree resolve:hash
resolve/forgive > side:=forgive hold:hash amount:amount
resolve/ruling > side:=ruling hold:hash amount:amount note:t2048
resolve/clause > side:=clause hold:hash usage:hash amount:amount proof:hash?
settle/offer > side:=offer amount:amount payer:=author|addressee reference:t256
settle/agree > side:=agree settle:hash
settle/forgive > side:=forgive amount:amount reference:t256
reconcile/offer > side:=offer issued:tally received:tally state:hash
reconcile/agree > side:=agree reconcile:hash
reconcile/close > side:=close epoch:2..1000000000 ends:tally received:tally last:hash? issued:tally own:hash?
'''
SITE = r'(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*'
PATTERNS = {
    'hash': r'[0-9a-f]{64}', 'nonce': r'[0-9a-f]{32}', 'site': SITE,
    'name': r'(?=.{1,63}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?',
    'allocation': r'(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?',
    'auction': r'[0-9a-z][0-9a-z.:-]{0,63}', 'amount': r'0|[1-9][0-9]{0,18}',
}
RANGES = {'count': (1, 10**9), 'tally': (0, 2**53 - 1), 'permille': (1, 10**6),
          'ms': (0, 8_640_000_000_000_000)}


def read_fields():
    records, kinds = {}, {}
    for line in FIELDS.split('\n')[1:-1]:
        head, *fields = line.split(' ')
        if head[0] == '@':
            records[head] = dict(field.split(':', 1) for field in fields)
            continue
        to, *fields = fields
        fields = dict(field.split(':', 1) for field in fields)
        if to != '-':
            fields |= records['@place'] | {'to': 'site' if to == '>' else '=*'}
        kinds[head] = fields
    return records, kinds


RECORDS, KINDS = read_fields()


def has_type(value, kind):
    if kind[0] == '@':
        return has_fields(value, RECORDS[kind])
    if kind[0] == '[':
        item, most = kind[1:-1].split(';')
        return isinstance(value, list) and len(value) <= int(most) \
            and all(has_type(one, item) for one in value)
    if kind in RANGES or '..' in kind:
        low, high = RANGES.get(kind) or map(int, kind.split('..'))
        return type(value) is int and low <= value <= high
    if not isinstance(value, str):
        return False
    if kind[0] == '=':
        return value in kind[1:].split('|')
    if re.fullmatch(r't[0-9]+', kind):
        return len(value.encode()) <= int(kind[1:])
    if kind[-1] == '?':
        return value == '' or has_type(value, kind[:-1])
    return bool(re.fullmatch(PATTERNS[kind], value)) and (kind != 'amount' or int(value) < 2**63)


def has_fields(value, fields):
    return isinstance(value, dict) and value.keys() == fields.keys() \
        and all(has_type(value[name], kind) for name, kind in fields.items())


def members(pairs):
    for key, _ in pairs:
        if not re.fullmatch(r'[a-z0-9_]{1,64}', key) or key in ('__proto__', 'constructor'):
            raise ValueError(f'the key {key[:80]!r}')
    return dict(pairs)


def depth(value):
    if not isinstance(value, (dict, list)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0)


def refuse_number(text):
    raise ValueError(f'no integer: {text}')


def canonical_json(text):
    """The value of a text that is its canonical encoding."""
    try:
        value = json.loads(text, object_pairs_hook=members, parse_float=refuse_number,
                           parse_constant=refuse_number)
        again = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(',', ':'))
        again.encode()
        need(again == text and depth(value) <= 12, 'I11', 'not canonical JSON')
        return value
    except (ValueError, RecursionError) as error:
        raise Fault('I11', f'not canonical JSON: {str(error)[:80]}')


class Statement:
    """A statement whose syntax holds [LEDGER-1]; its signature is not checked yet."""

    def __init__(self, note):
        need(len(note) <= 16 * 1024, 'I11', 'more than 16 KiB')
        self.text, self.signatures = parse_note(note)
        need(len(self.signatures) == 1, 'I11', 'not exactly one signature')
        match = re.fullmatch(r'gridnode/v1/([a-z][a-z0-9_-]{0,63})\n([^\n]*)\n', self.text)
        need(match, 'I11', 'the text is not gridnode/v1/<kind> and one line')
        self.kind, self.body = match[1], canonical_json(match[2])
        need(isinstance(self.body, dict), 'I11', 'the body is no object')
        tag = {'policy': 'about', 'contract': 'side', 'resolve': 'side', 'settle': 'side',
               'reconcile': 'side'}.get(self.kind)
        fields = KINDS.get(f'{self.kind}/{self.body.get(tag)}' if tag else self.kind)
        need(fields, 'I11', f'an unknown kind, {self.kind}')
        need(has_fields(self.body, fields), 'I11', f'the fields are not those of {self.kind}')
        self.sid = sha(self.text.encode()).hex()

    def signer_name(self):
        if self.kind == 'federation':
            return f'{self.body["founder"]}/gridnode/root'
        if self.kind in ('genesis', 'key'):
            return f'{self.body["from"]}/gridnode/root'
        return f'{self.body["from"]}/gridnode/s{self.body["e"]}'

    def signed_with(self, key):
        return signed_by(self.text, self.signatures, self.signer_name(), bytes.fromhex(key))


class Log:
    """One exported ledger. Memory is that of a bundle, of the keys and of the sequences."""

    def __init__(self, directory):
        self.directory, self.faults = directory, []
        self.federation, self.admitted, self.roots, self.keys, self.log_keys = '', {}, {}, {}, {}
        self.sequences, self.publics, self.genesis, self.used = {}, {}, {}, {}
        self.current, self.size, self.site = {}, 0, directory

    def fault(self, fault, index=-1):
        """Keeps a fault of an entry, or of the log as a whole."""
        self.faults.append((index, fault))

    def lines(self):
        for index, fault in self.faults:
            yield f'{self.site} {"log" if index < 0 else f"entry {index}"} {fault}'

    def read(self, path):
        try:
            with open(os.path.join(self.directory, path), 'rb') as file:
                return file.read()
        except OSError:
            raise Fault('I1', f'the file {path} is missing')

    def verify(self):
        try:
            text, signatures = parse_note(self.read('checkpoint'))
        except Fault as fault:
            raise Fault('I1', f'no head: {fault}')
        origin, size, root = parse_checkpoint(text)
        match = re.fullmatch(r'([^/]+)/gridnode/[0-9a-f]{16}/e([1-9][0-9]*)', origin)
        need(match and re.fullmatch(SITE, match[1]) and size > 0, 'I1',
             f'{origin!r} with {size} entries is no ledger')
        self.site, self.size, epoch = match[1], size, int(match[2])
        tree = Tree(self.compare)
        for first in range(0, size, 256):
            try:
                entries = self.bundle(first, min(256, size - first))
            except Fault as fault:
                return self.fault(fault, first)
            for index, entry in enumerate(entries, first):
                tree.add(leaf_hash(entry))
                try:
                    self.check(index, Statement(entry))
                except Fault as fault:
                    self.fault(fault, index)
        for level, (index, row) in enumerate(tree.levels):
            if row:
                self.compare(level, index, row)
        if tree.root() != root:
            self.fault(Fault('I1', 'the root of the entries is not that of the checkpoint'))
        name = f'{self.site}/gridnode/{self.federation[:16]}/e{max(self.log_keys, default=0)}'
        key = bytes.fromhex(self.log_keys.get(epoch, ''))
        if name != origin or not signed_by(text, signatures, origin, key):
            self.fault(Fault('I1', 'the checkpoint is not signed by the log key of the genesis'))

    def bundle(self, first, width):
        data, entries, at = self.read(tile_path('entries', first // 256, width)), [], 0
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at:at + 2], 'big')
            need(len(data) >= max(end, at + 2), 'I1', f'the bundle of entry {first} is cut short')
            entries.append(data[at + 2:end])
            at = end
        need(len(entries) == width, 'I1', f'{len(entries)} entries in the bundle of entry {first}')
        return entries

    def compare(self, level, index, row):
        path = tile_path(level, index, len(row))
        try:
            data = self.read(path)
            need(len(data) == 32 * len(row), 'I1', f'{path} has {len(data)} bytes')
        except Fault as fault:
            return self.fault(fault)
        for at, found in enumerate(row):
            if data[32 * at:32 * at + 32] != found:
                where = 256 * index + at if level == 0 else -1
                return self.fault(Fault('I1', f'{path} is not that of the entries'), where)

    def check(self, index, statement):
        """The statement's place, its signature, and what it says about members and keys."""
        body, kind = statement.body, statement.kind
        if index == 0:
            need(kind == 'federation', 'I1', 'entry 0 is no federation statement')
            need(statement.signed_with(body['root']), 'I1', 'the signature does not hold')
            self.federation = statement.sid
            self.admitted[body['founder']] = (body['root'], '')
            return
        need(kind != 'federation', 'I1', 'a federation statement is entry 0')
        author, to, own = body['from'], body['to'], body['from'] == self.site
        need((index == 1) <= (kind == 'genesis' and own and body['e'] == 1),
             'I1', 'entry 1 is not the genesis of the log')
        need(own or to in (self.site, '*'), 'I1', f'from {author} to {to}')
        need(body['fed'] == self.federation, 'I1', 'of another federation')
        key = self.key_for(statement)
        need(statement.signed_with(key), 'I1', 'the signature does not hold')
        self.place(statement)
        if kind == 'genesis':
            self.genesis[author], self.roots[author] = (body['e'], statement.sid), body['root']
            self.current[author] = body['keys'] | {'root': body['root']}
            self.used.setdefault(author, set()).update(used_by(body))
            self.keys.setdefault(author, {})[body['e']] = [(1, {}, body['keys']['statement'])]
            if own:
                self.log_keys[body['e']] = body['keys']['log']
        elif kind == 'key':
            last = {each['site']: each['n'] for each in body['last']}
            self.current[author] |= {use: body[use] for use in ('statement', 'witness')}
            self.used[author].update(used_by(body))
            self.keys[author][body['e']].append((body['n'], last, body['statement']))
        elif kind == 'policy' and body['about'] == 'admit':
            root, genesis = self.admitted.get(body['admit'], (body['root'], body['genesis']))
            need(root == body['root'] and genesis in ('', body['genesis']),
                 'I5', f'{body["admit"]} was admitted with other keys')
            self.admitted.setdefault(body['admit'], (root, genesis))
        elif kind == 'reconcile' and body['side'] == 'close':
            self.close(body)

    def close(self, body):
        """From here on the addressee speaks in its new epoch, from number 1."""
        sequence = (body['to'], body['from'])
        epoch, last, sid, at = self.sequences.get(sequence, (1, 0, '', 0))
        if body['epoch'] > epoch:
            need(self.genesis[body['to']][0] >= body['epoch']
                 and (body['ends'], body['received'], body['last']) == (epoch, last, sid), 'I5',
                 'the close is not of what this log holds')
            self.sequences[sequence] = (body['epoch'], 0, '', at)

    def key_for(self, statement):
        """The key that is valid for this statement here, in hexadecimal."""
        body, author = statement.body, statement.body['from']
        if statement.kind == 'genesis':
            need(author in self.admitted or author == self.site, 'I1', f'{author} is no member')
            root, genesis = self.admitted.get(author, (body['root'], ''))
            epoch, before = self.genesis.get(author, (0, ''))
            need(body['e'] == epoch + 1, 'I1', f'epoch {body["e"]} follows epoch {epoch}')
            need(body['previous'] == before and (before or not body['closes']) and body['n'] == 1
                 and body['prev'] == '', 'I5', 'the genesis does not follow the one before')
            need(self.roots.get(author, root) == body['root']
                 and (before or genesis in ('', statement.sid)), 'I5',
                 f'{author} was admitted with another genesis')
            self.need_new_keys(author, body['keys'] | {'root': body['root']}, body)
            return body['root']
        for site in (author, *([body['to']] if body['to'] != '*' else [])):
            need(site in self.admitted and site in self.keys, 'I1', f'{site} is no member')
        if statement.kind == 'key':
            need(body['e'] == self.genesis[author][0], 'I1', 'new keys in an epoch that is over')
            keys = {use: body[use] for use in ('statement', 'witness')}
            self.need_new_keys(author, self.current[author] | keys, body)
            return self.roots[author]
        chain = self.keys[author].get(body['e'])
        need(chain, 'I1', f'of epoch {body["e"]}, which this log does not know')
        for (_, _, key), (number, last, _) in zip(chain, chain[1:]):
            if body['n'] < number if body['to'] == '*' else body['n'] <= last.get(body['to'], 0):
                return key
        return chain[-1][2]

    def need_new_keys(self, author, keys, body):
        need(len(set(keys.values())) == 5
             and all(sound_key(bytes.fromhex(key)) for key in keys.values())
             and not self.used.get(author, set()) & used_by(body), 'I1', 'keys that must not sign')

    def place(self, statement):
        """Own sequences and those of a counterparty have no gaps; other public ones may."""
        body, sid = statement.body, statement.sid
        author, to, epoch, number, prev = (body[name] for name in ('from', 'to', 'e', 'n', 'prev'))
        own_epoch = self.genesis.get(self.site, (1, ''))[0]
        if to == '*':
            known = self.publics.setdefault((author, epoch), {})
            if number in known:
                raise twice(number, known[number][0] == sid)
            before = '' if number == 1 else known.get(number - 1, (prev,))[0]
            after = known.get(number + 1, (None, sid))[1]
            known[number] = (sid, prev)
            if author != self.site or epoch < own_epoch:
                need(before == prev and after == sid, 'I2', f'number {number} does not follow')
                return
        last_epoch, last, last_sid, last_at = self.sequences.get((author, to), (1, 0, '', 0))
        if epoch > last_epoch and number == 1 and (
                statement.kind == 'genesis' or statement.kind == 'reconcile'
                and body['side'] == 'close' and (body['issued'], body['own']) == (last, last_sid)
                and self.genesis[author][0] >= epoch):
            last_epoch, last, last_sid = epoch, 0, ''
        need(epoch == last_epoch, 'I1', f'of epoch {epoch}, expected epoch {last_epoch}')
        if number <= last:
            raise twice(number, number < last or sid == last_sid)
        self.sequences[author, to] = (epoch, number, sid, body['at'])
        need(number == last + 1, 'I2', f'number {number}, expected number {last + 1}')
        need(prev == last_sid, 'I2', f'number {number} does not follow the one before')
        need(body['at'] >= last_at, 'I8', 'its time is before that of the one before')


def used_by(body):
    """Keys that sign once and never again: those for statements, and for the log."""
    keys = body.get('keys', body)
    return {keys[use] for use in ('statement', 'log') if use in keys}


def twice(number, same):
    return Fault('I5', 'the statement is in the log already') if same \
        else Fault('I2', f'a second statement with number {number}')


def tile_path(level, index, width):
    digits = f'{index % 1000:03}'
    while index >= 1000:
        index //= 1000
        digits = f'x{index % 1000:03}/{digits}'
    return f'tile/{level}/{digits}' + ('' if width == 256 else f'.p/{width}')


# The vectors: each case is an input, what to expect, and why (test/vectors/ledger/README.md).

def unhex(texts):
    return [bytes.fromhex(text) for text in texts]


def check_signature(case):
    key, message, signature = unhex([case['public_key'], case['message'], case['signature']])
    need(signature_holds(key, message, signature), 'I1', 'the signature does not hold')
    return {}


def check_checkpoint(case):
    text, signatures = parse_note(bytes_of(case, 'note'))
    origin, size, root = parse_checkpoint(text)
    name, kind, key = open_vkey(case['vkey'])
    need(kind == 1 and name == origin and origin == case['origin'], 'I1', 'another log')
    need(signed_by(text, signatures, name, key), 'I1', 'the signature does not hold')
    return {'size': size, 'root': root.hex()}


def check_statement(case):
    statement = Statement(bytes_of(case, 'note'))
    name, kind, key = open_vkey(case['vkey'])
    need(kind == 1 and name == statement.signer_name(), 'I1', 'another signer')
    need(statement.signed_with(key.hex()), 'I1', 'the signature does not hold')
    return {'sid': statement.sid, 'kind': statement.kind}


def cosigned_at(text, signatures, vkey):
    """The time (seconds since 1970) at which a witness says it saw the checkpoint."""
    name, kind, key = open_vkey(vkey)
    need(kind == 4, 'I1', 'no key of a witness')
    for other, ident, data in signatures:
        if (other, ident) == (name, key_id(name, 4, key)):
            need(len(data) == 72, 'I1', 'a cosignature has 72 bytes')
            time = int.from_bytes(data[:8], 'big')
            message = f'cosignature/v1\ntime {time}\n{text}'.encode()
            need(1 <= time <= 8_640_000_000_000 and signature_holds(key, message, data[8:]), 'I1',
                 'the cosignature does not hold')
            return time
    raise Fault('I1', 'the witness has not signed')


def check_cosignature(case):
    text, signatures = parse_note(bytes_of(case, 'note'))
    parse_checkpoint(text)
    return {'time': cosigned_at(text, signatures, case['vkey'])}


def check_inclusion(case):
    leaf, root, *proof = unhex([case['leaf_hash'], case['root'], *case['proof']])
    need({len(each) for each in (leaf, root, *proof)} == {32}, 'I1', 'a hash has 32 bytes')
    need(inclusion_holds(leaf, case['index'], case['size'], root, proof), 'I1', 'not included')
    return {}


def check_consistency(case):
    old, new, *proof = unhex([case['from_root'], case['to_root'], *case['proof']])
    need({len(each) for each in (old, new, *proof)} == {32}, 'I1', 'a hash has 32 bytes')
    need(consistency_holds(case['from'], case['to'], old, new, proof), 'I1', 'not consistent')
    return {}


def check_receipt(case):
    """A C2SP tlog-proof: the leaf is in the log whose key is known."""
    match = re.fullmatch(r'c2sp\.org/tlog-proof@v1\nindex (0|[1-9][0-9]{0,15})\n'
                         r'((?:[^\n]+\n)*)\n(.*)', case['receipt'], re.DOTALL)
    need(match and int(match[1]) < 2**53, 'I11', 'no receipt')
    proof = [unbase64(line) for line in match[2].split('\n')[:-1]]
    need(all(len(each) == 32 for each in proof), 'I1', 'a hash has 32 bytes')
    text, signatures = parse_note(match[3].encode())
    origin, size, root = parse_checkpoint(text)
    name, kind, key = open_vkey(case['vkey'])
    need(kind == 1 and name == origin and signed_by(text, signatures, name, key), 'I1',
         'the signature does not hold')
    need(inclusion_holds(leaf_hash(bytes_of(case, 'leaf')), int(match[1]), size, root, proof), 'I1',
         'not included')
    return {'index': int(match[1]), 'size': size}


def bytes_of(case, name):
    encoded = case.get(f'{name}_base64')
    return case[name].encode() if encoded is None else base64.b64decode(encoded)


class Elsewhere(Exception):
    """There is a fault, but not the one that the case names."""


def check_log(case):
    with tempfile.TemporaryDirectory() as directory:
        for path, data in case['files'].items():
            os.makedirs(os.path.dirname(os.path.join(directory, path)), exist_ok=True)
            with open(os.path.join(directory, path), 'wb') as file:
                file.write(base64.b64decode(data))
        log = Log(directory)
        try:
            log.verify()
        except Fault as fault:
            log.fault(fault)
    if log.faults:
        # The log as a whole comes last.
        index, fault = min(log.faults, key=lambda each: each[0] if each[0] >= 0 else log.size)
        if (index, fault.rule) != (case.get('index'), case.get('rule')):
            raise Elsewhere(f'at {index} {fault}')
        raise fault
    return {'site': log.site, 'entries': log.size}


CHECKS = {
    'signature': check_signature, 'checkpoint': check_checkpoint, 'statement': check_statement,
    'cosignature': check_cosignature, 'receipt': check_receipt, 'inclusion': check_inclusion,
    'consistency': check_consistency, 'log': check_log,
}


def run_vectors(path):
    """Runs a file's cases; the number of those with another verdict than expected."""
    with open(path, encoding='utf-8') as file:
        vectors = json.load(file)
    wrong = 0
    for case in vectors['cases']:
        try:
            found = CHECKS[vectors['check']](case)
            verdict, why = 'valid', ''
            if found != case.get('gives', {}) and case['expect'] == 'valid':
                verdict, why = 'differs', f' {found}'
        except (Fault, ValueError) as fault:
            verdict, why = 'invalid', f' {fault}'
        except Elsewhere as fault:
            verdict, why = 'differs', f' {fault}'
        wrong += verdict != case['expect']
        print(f'{vectors["check"]} {case["name"]}: {verdict}{why}')
    return wrong


def main(command='', *paths):
    if command not in ('log', 'vectors') or not paths:
        print(__doc__, file=sys.stderr)
        return 2
    if command == 'vectors':
        return 1 if sum(run_vectors(path) for path in paths) > 0 else 0
    code = 0
    for path in paths:
        log = Log(path)
        if not os.path.isfile(os.path.join(path, 'checkpoint')):
            print(f'{path}: there is no checkpoint, so this is no exported ledger')
            code = max(code, 2)
            continue
        try:
            log.verify()
        except Fault as fault:
            log.fault(fault)
        for line in list(log.lines())[:50]:
            print(line)
        print(f'{log.site}: {log.size} entries, {len(log.faults)} faults')
        code = 1 if log.faults else code
    return code


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
