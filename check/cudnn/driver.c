/* A stand-in for the CUDA driver, for machines without one. With it, cuDNN makes plans for a device that is only
 * described. cuDNN compiles kernels when it makes a plan, and hands them to the driver; this one accepts them. It
 * cannot run anything. */

enum { SUCCESS = 0, ERROR_NO_DEVICE = 100 };

/* Accepted, and something that is not NULL is handed out. */
#define GIVEN(X)           \
    X(cuKernelGetFunction) \
    X(cuLibraryGetKernel)  \
    X(cuLibraryGetModule)  \
    X(cuLibraryLoadData)   \
    X(cuModuleGetFunction) \
    X(cuModuleLoadData)    \
    X(cuModuleLoadDataEx)
#define AGREED(X)           \
    X(cuFuncSetAttribute)   \
    X(cuKernelSetAttribute) \
    X(cuLibraryUnload)      \
    X(cuModuleUnload)
#define REFUSED(X)                        \
    X(cuCtxGetCurrent)                    \
    X(cuCtxGetLimit)                      \
    X(cuCtxPopCurrent)                    \
    X(cuCtxPushCurrent)                   \
    X(cuDeviceGet)                        \
    X(cuDeviceGetCount)                   \
    X(cuGetExportTable)                   \
    X(cuGetProcAddress)                   \
    X(cuGetProcAddress_v2)                \
    X(cuInit)                             \
    X(cuKernelGetAttribute)               \
    X(cuLaunchCooperativeKernel)          \
    X(cuLaunchKernel)                     \
    X(cuLaunchKernelEx)                   \
    X(cuLibraryLoadFromFile)              \
    X(cuLinkAddData)                      \
    X(cuLinkComplete)                     \
    X(cuLinkCreate)                       \
    X(cuLinkDestroy)                      \
    X(cuOccupancyMaxPotentialClusterSize) \
    X(cuStreamGetCtx)

#define X(name)              \
    int name(void **handle); \
    int name(void **handle)  \
    {                        \
        static char thing;   \
        *handle = &thing;    \
        return SUCCESS;      \
    }
GIVEN(X)
#undef X
#define X(name)         \
    int name(void);     \
    int name(void)      \
    {                   \
        return SUCCESS; \
    }
AGREED(X)
#undef X
#define X(name)                 \
    int name(void);             \
    int name(void)              \
    {                           \
        return ERROR_NO_DEVICE; \
    }
REFUSED(X)
#undef X

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version)
{
    *version = 13000;
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text);
int cuGetErrorString(int error, const char **text)
{
    *text = error == ERROR_NO_DEVICE ? "no device, only a stand-in for the driver" : "unknown";
    return SUCCESS;
}

int cuGetErrorName(int error, const char **text);
int cuGetErrorName(int error, const char **text)
{
    return cuGetErrorString(error, text);
}
