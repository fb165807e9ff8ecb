/* The engines of the program on the imitation of CUDA: cuda in every build, and cudnn in none, since nothing imitates
 * cuDNN. */
#ifndef HAVE_CUDA
#define HAVE_CUDA 1
#endif
#undef HAVE_CUDNN
#undef HAVE_CUDNN_ENGINE

#include "trainer/engines.c"
