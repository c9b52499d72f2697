'use client'

import { useEffect, useState } from 'react'
import { loadModel } from 'webtern'

export default function Page() {
  const [state, setState] = useState({ status: 'Loading…', answer: '' })

  useEffect(() => {
    const abort = new AbortController()
    answer(setState, abort.signal)
    return () => abort.abort()
  }, [])

  return (
    <>
      <p id="status" data-done={state.done}>
        {state.status}
      </p>
      <p id="answer">{state.answer}</p>
    </>
  )
}

async function answer(setState, signal) {
  let model
  try {
    model = await loadModel('tiny', { signal })
    const status = `threads: ${model.info.threads}`
    const run = model.generate({ messages: [{ role: 'user', content: 'What is 24 + 64?' }], signal })
    for await (const event of run) {
      if (event.type === 'text') setState(({ answer }) => ({ status, answer: answer + event.text }))
    }
    if (!signal.aborted) setState(({ answer }) => ({ status, answer, done: true }))
  } catch (error) {
    if (!signal.aborted) setState({ status: String(error), answer: '', done: false })
  } finally {
    await model?.unload()
  }
}
