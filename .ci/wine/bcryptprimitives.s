# The DLL has nothing of its own: it forwards the one function that Go wants.
	.text
	.globl DllMainCRTStartup
DllMainCRTStartup:
	movl $1, %eax
	ret
