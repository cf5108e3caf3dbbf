#!/bin/sh
#GRID --name wordcount --array 0-9
#GRID --cores 1 --memory 256MiB --walltime 5m
#GRID --in texts --out counts.txt
#GRID --policy balanced --budget 5
#
# Task N counts the words of texts/N-*.txt, the most frequent first.
set -eu
export LC_ALL=C

set -- texts/"$GRIDNODE_TASK_ID"-*.txt
text=$1
paragraphs=$(awk -v RS= 'END { print NR }' "$text")

: >words
n=1
while [ "$n" -le "$paragraphs" ]; do
  awk -v RS= -v n="$n" 'NR == n' "$text" |
    tr 'A-Z' 'a-z' | tr -cs 'a-z' '\n' | grep . >paragraph
  cat paragraph >>words
  echo "$text: paragraph $n of $paragraphs, $(awk 'END { print NR }' paragraph) words"
  sleep 0.4 # so that it can be watched
  n=$((n + 1))
done

sort words | uniq -c | sort -k1,1nr -k2,2 | awk '{ print $1, $2 }' >counts.txt
echo "$text: most frequent: $(awk 'NR <= 3 { printf "%s%s %s", sep, $2, $1; sep = ", " }' counts.txt)"
