#compdef topo
# Completion of topo for zsh. topo itself says what can follow: it is run with
# the words so far and --generate-bash-completion as the last one.
_topo() {
	local -a words_so_far options
	words_so_far=("${(@)words[1,CURRENT-1]}")
	[[ ${words[CURRENT]} == -* ]] && words_so_far+=("${words[CURRENT]}")
	options=("${(@f)$(SHELL=zsh "${words_so_far[@]}" --generate-bash-completion 2>/dev/null)}")
	if [[ -z ${options[1]} ]] || ! _describe 'topo' options; then
		_files
	fi
}
if [[ $funcstack[1] == _topo ]]; then
	_topo "$@"
else
	compdef _topo topo
fi
