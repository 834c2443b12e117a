# Completion of topo for bash. topo itself says what can follow: it is run with
# the words so far and --generate-bash-completion as the last one.
_topo() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local words=("${COMP_WORDS[@]:0:COMP_CWORD}")
	if [[ $prev == -f || $prev == --file ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
		return
	fi
	[[ $cur == -* ]] && words+=("$cur")
	COMPREPLY=($(compgen -W "$(SHELL=bash "${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
	[[ ${COMPREPLY[*]} == *: ]] && compopt -o nospace # a path follows
}
complete -o bashdefault -o default -F _topo topo
