#!/usr/bin/env bash
# Runs every fuzz target of the tree, one after the other, and writes what became of each into
# build/fuzz.txt. A target is found by its name, in whatever module it is.
#
#   FUZZTIME   for how long each runs (1m)
#   FUZZ       only targets whose package and name match this regular expression
#   PARALLEL   how many workers each has (all processors)
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-1m}
only=${FUZZ:-.}
parallel=${PARALLEL:-$(nproc)}
result=$PWD/build/fuzz.txt
log=$(mktemp)
trap 'rm -f "$log"' EXIT
mkdir -p build
printf 'Each target ran for %s with %s workers.\n\n' "$time" "$parallel" > "$result"

# Directory of the module that a folder belongs to.
module_of() {
	local dir=$1
	until [[ -f $dir/go.mod ]]; do dir=$(dirname "$dir"); done
	echo "$dir"
}

# Go reports the end of the time as a failure now and then; it is none when nothing was found.
only_time_ended() { grep -q '^    context deadline exceeded$' "$log" && ! grep -q 'Failing input' "$log"; }

failed=0
while IFS=: read -r file target; do
	folder=$(dirname "$file")
	[[ "$folder $target" =~ $only ]] || continue
	module=$(module_of "$folder")
	package=./$(realpath --relative-to="$module" "$folder")
	state=ok
	# Making an interesting input smaller takes a minute by default, and large ones take it all.
	go -C "$module" test -run='^$' -fuzz="^$target\$" -fuzztime="$time" -fuzzminimizetime=1s -parallel="$parallel" "$package" \
		> "$log" 2>&1 || only_time_ended || state=FAILED
	runs=$(grep -o 'execs: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)
	printf '%-6s %-45s %-28s %s runs\n' "$state" "$folder" "$target" "${runs:-0}" | tee -a "$result"
	if [[ $state != ok ]]; then
		failed=1
		tee -a "$result" < "$log"
	fi
done < <(grep -rEo '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sed 's|^\./||; s/func //' | sort)
exit "$failed"
