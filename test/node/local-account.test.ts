// Which accounts of this machine a job may have.

import { spawnSync } from 'node:child_process'
import { userInfo } from 'node:os'
import { localAccount } from '../../node/local-account.ts'
import { assert, suite } from '../harness.ts'

const t = suite('local accounts')
const never = new AbortController().signal

t('nobody gets root, what is not there, or the system by being called like it', async (ctx) => {
  await assert.rejects(localAccount('root', 'ada', never), /no job runs as root/)
  await assert.rejects(localAccount('no-such-account', 'ada', never), /no account/)
  await assert.rejects(localAccount('0', 'ada', never), /no account/)
  if (spawnSync('id', ['-u', 'daemon']).stdout.toString() !== '1\n') ctx.skip('no daemon here')
  await assert.rejects(localAccount('daemon', 'daemon', never), /of the system/)
  if (userInfo().uid !== 0) return
  const { uid, name } = await localAccount('daemon', 'ada', never)
  assert.equal([uid, name], [1, 'daemon'])
})
