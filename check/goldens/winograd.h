/* Made by winograd.py; see there. */
static const uint32_t GOLDEN_INPUT[4][6] = {
    { 0xc03139d7, 0xbf16a430, 0xc045591e, 0xbe899a94, 0xc055c504, 0xc0495187 },
    { 0x00000a26, 0x000006c4, 0x000006a4, 0x000000ed, 0x800001e5, 0x8000032b },
    { 0x4091f0c7, 0xcb317165, 0x4b31716d, 0x4c061ad4, 0xcc061ad4, 0xcc92c7e5 },
    { 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000 },
};
static const char GOLDEN_MANY_INPUT[] = "83301e081510b638568c74a2cf989573be02933a361ba6e0a5638523ab9f8439";
static const uint32_t GOLDEN_FILTER[4][6] = {
    { 0xbf99869b, 0x3f723521, 0x3efe076f, 0xbe5c55cb, 0xbce2c62f, 0x3c8b0080 },
    { 0x000001de, 0x000000b2, 0x80000265, 0x800000bb, 0x0000008f, 0x8000010b },
    { 0x3fa00f9e, 0xc9c60b23, 0x49c60b21, 0x49250940, 0xc925094e, 0xbff78e34 },
    { 0x80000000, 0x80000000, 0x80000000, 0x00000000, 0x00000000, 0x00000000 },
};
static const char GOLDEN_MANY_FILTER[] = "25e154d113f22c55e56323067e8260daef85cf4ddb8d9f5ad45faeac9009fac1";
static const uint32_t GOLDEN_OUTPUT[4][4] = {
    { 0xc022757a, 0x4065abc6, 0xc01985dc, 0x4102e0ab },
    { 0x8000021a, 0x0000075d, 0x80000352, 0x00000aee },
    { 0x4c515a00, 0x4c6e8de0, 0x4c9b5490, 0x4cc4183c },
    { 0x00000000, 0x00000000, 0x00000000, 0x00000000 },
};
static const char GOLDEN_MANY_OUTPUT[] = "440d31fc9a67cfd823123601c5dcfacab89716be4a2e723581b26d84918d2200";
static const uint32_t GOLDEN_GRADIENT[4][6] = {
    { 0xbf86ef4e, 0xbf964f33, 0xbf6bba0d, 0x3f772e18, 0xc03fd7d0, 0x3f51cce8 },
    { 0x80000398, 0x80000347, 0x80000231, 0x0000014f, 0x00000167, 0x00000073 },
    { 0xbff78e34, 0x4a8b6c76, 0xca8b6c80, 0xca5985cf, 0x4a5985ad, 0xca9ef868 },
    { 0x80000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x80000000 },
};
static const char GOLDEN_MANY_GRADIENT[] = "d95d9e411dabad6bf3cb5c277ab95d98bcd5f1289ae4be28506a821ab6ffb97b";
static const uint32_t GOLDEN_TAPS[4][3] = {
    { 0xbf77d1ac, 0x3f3395d8, 0xbf262126 },
    { 0x000004c0, 0x8000014d, 0x00000010 },
    { 0xcb32aa67, 0xca70b2e2, 0xcb09a6d2 },
    { 0x00000000, 0x80000000, 0x00000000 },
};
static const char GOLDEN_MANY_TAPS[] = "f37789fa780decb272a9c79121e61dfb48b13df582f93f30c77fc0e829af6ab8";
/* SHA-256 over the binary32, lowest byte first: of one image at side 8, and of dw, the filters 0 and 7 with the
 * channels 0, 5 and 15, from a group of 16 images and one of 1. At side 16 there are five groups, of 4 images and of 1,
 * and dw is that of filter 7 with channel 5. */
static const char GOLDEN_Y[] = "618d01e982c80cc83b343e250dd56f3eecc745e90e9e3ff74229d27314ad87cc";
static const char GOLDEN_DX[] = "a242dc26680ad3a538196c3436a1279795bba2d600df3800c29a38b993324c87";
static const char GOLDEN_DW[] = "daa08e2ab62f4daf216c9fed8bb196351a5a940bc654f29d44f322d22ad8d4a3";
static const char GOLDEN_DW_16[] = "b546cbf86cfb2fc55adc0daced7a350e0689cd13354a8fa9602f8709ebba8e93";
