"""Does it learn? Every method, and the ablations of two, on the same synthetic people with the same number of images.

A run starts from ImageNet weights of MobileNetV2 or from random weights of ResNet-18, and is short: the table says
whether a part helps a small network within minutes, which is where a defect shows, and nothing about real data. Every
run also says whether the parts of its network were at work (`activity`).
"""
