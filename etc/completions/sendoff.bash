# bash completion for sendoff(1): verbs and options come from the program itself, ids from the queue.

_sendoff() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb= word i
	local -a ask=("${COMP_WORDS[0]}") # the same agent that the line is for
	COMPREPLY=()

	case $previous in
	-c | --config | -s | --socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-c | --config | -s | --socket)
			ask+=("$word" "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		-*) ;;
		*)
			verb=$word
			break
			;;
		esac
	done
	if [ -z "$verb" ] || [ "$verb" = help ]; then
		mapfile -t COMPREPLY < <(compgen -W "$([ -n "$verb" ] || echo --config --socket --json --help) $(
			"${COMP_WORDS[0]}" help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'
		)" -- "$current")
	elif [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(
			"${COMP_WORDS[0]}" help "$verb" 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u
		)" -- "$current")
	elif [ "$verb" = check ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	elif [ "$verb" = user ] && [[ $previous == -f || $previous == --file ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	elif [ "$verb" = user ] && [ "$previous" = user ]; then
		mapfile -t COMPREPLY < <(compgen -W "add remove list" -- "$current")
	elif [ "$verb" = user ] && [ "$previous" = remove ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(
			"${ask[@]}" user list 2>/dev/null | sed 's/^[a-z]* *//'
		)" -- "$current")
	elif [ "$verb" = user ]; then
		return
	elif [[ " list show why cat flush hold release remove history " == *" $verb "* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(
			"${ask[@]}" --json list --limit 100 2>/dev/null |
				sed -n 's/.*"id": *"\([0-9a-z]\{13\}\)".*/\1/p'
		)" -- "$current")
	fi
}
complete -F _sendoff sendoff
