// What is asked: texts that come again, and texts that nobody has asked before.

// each with the label that any model worth serving gives it
export const FIXED = {
  "I love this service, it is quick and kind.": "POSITIVE",
  "What a wonderful day, everything went well!": "POSITIVE",
  "This is the worst meal I have ever had.": "NEGATIVE",
};
export const POOL = [
  ...Object.keys(FIXED),
  "Best soup I have had in years!",
  "My umbrella broke on its first rainy day.",
  "They painted the old bridge a cheerful green.",
  "Never again will I stay at that hotel.",
  "The concert made the whole street dance.",
  "Half the lamps in the museum were out.",
  "A long queue, a short temper and cold coffee.",
];
const WORDS = (
  "a the this our one never always quite rather film story actor scene joke song end plot voice hero night city mother " +
  "garden river train music camera colour heart idea moment world child friend good bad great dull funny sad warm cold " +
  "bright empty honest clumsy gentle loud slow brilliant tired fresh loves hates makes takes finds loses tells shows"
).split(" ");

// Two to 35 words, as sentences of film reviews have, and a last one that makes the text new.
export function novel() {
  const words = Array.from({ length: 2 + Math.floor(Math.random() * 34) }, () => pick(WORDS));
  return [...words, Math.floor(Math.random() * 36 ** 8).toString(36)].join(" ");
}

export function shuffled(list) {
  const copy = list.slice();
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}
