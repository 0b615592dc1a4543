# bash completion for sendoff(1): verbs and options come from the program itself, ids from the queue.

_sendoff() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb= word i
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
		-c | --config | -s | --socket) ((i++)) ;;
		-*) ;;
		*)
			verb=$word
			break
			;;
		esac
	done
	if [ -z "$verb" ]; then
		mapfile -t COMPREPLY < <(compgen -W "--config --socket --json --help $(
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
			"${COMP_WORDS[0]}" user list 2>/dev/null | sed 's/^[a-z]* *//'
		)" -- "$current")
	elif [ "$verb" = user ]; then
		return
	elif [ "$verb" != pause ] && [ "$verb" != resume ] && [ "$verb" != explain ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(
			"${COMP_WORDS[0]}" --json list --limit 100 2>/dev/null |
				sed -n 's/.*"id": *"\([0-9a-z]\{13\}\)".*/\1/p'
		)" -- "$current")
	fi
}
complete -F _sendoff sendoff
