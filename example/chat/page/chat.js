// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

import { channel, dial } from "/libchan/libchan.js";

const [events, joinForm, speakForm] = ["events", "join", "speak"].map((id) => document.getElementById(id));

/** Shows an event, or a notice. */
function show({ From, Text }) {
  const item = document.createElement("li");
  if (From) item.appendChild(document.createElement("b")).textContent = From;
  else item.className = "notice";
  item.append(Text);
  events.append(item);
  item.scrollIntoView();
}

/** Joins the room, and returns a channel of what happens there, and one to speak on. */
async function join(name) {
  const url = new URL("/session", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const session = await dial(url.href);
  const [theirs, happens] = channel(10);
  const [ret, says] = channel(1);
  await session.open("joins").send({ Name: name, Events: theirs, Say: ret });
  const { value: say } = await says.receive();
  return { session, happens, say };
}

joinForm.onsubmit = async (event) => {
  event.preventDefault();
  try {
    const { session, happens, say } = await join(joinForm.elements.name.value);
    [joinForm.hidden, speakForm.hidden] = [true, false];
    speakForm.elements.text.focus();
    speakForm.onsubmit = (event) => {
      event.preventDefault();
      say.send(speakForm.elements.text.value).catch((error) => show({ Text: error.message }));
      speakForm.reset();
    };
    for await (const e of happens) show(e);
    await session.close();
  } catch (error) {
    show({ Text: error.message });
  }
  [joinForm.hidden, speakForm.hidden] = [false, true];
};
